using System.Collections.Immutable;

namespace OrleansMq.VirtualHosts;

/// <summary>
/// Where the messages of a virtual host go: made from a broker's image of it, and changed by the same edits. Immutable, so that publishers
/// read it without a lock; an edit copies what is on its way and shares the rest.
/// </summary>
internal sealed class RoutingTable
{
    private readonly ImmutableDictionary<string, Entry> _exchanges;
    private readonly ImmutableDictionary<string, RouteTarget> _queues;
    private readonly Func<ExchangeState, string?> _alternateOf;

    private RoutingTable(ImmutableDictionary<string, Entry> exchanges, ImmutableDictionary<string, RouteTarget> queues,
        Func<ExchangeState, string?> alternateOf) => (_exchanges, _queues, _alternateOf) = (exchanges, queues, alternateOf);

    /// <summary>Creates the table of a topology.</summary>
    /// <param name="topology">The exchanges, queues and bindings.</param>
    /// <param name="alternateOf">Returns the alternate exchange of an exchange, by its argument or by policy; null for none.</param>
    public static RoutingTable Of(VirtualHostTopology topology, Func<ExchangeState, string?> alternateOf)
    {
        var table = new RoutingTable(ImmutableDictionary.Create<string, Entry>(StringComparer.Ordinal),
            ImmutableDictionary.Create<string, RouteTarget>(StringComparer.Ordinal), alternateOf);
        table = ExchangeTypes.Predeclared.Values.Concat(topology.Exchanges)
            .Aggregate(table, (made, exchange) => made.Apply(new PutExchange(exchange)));
        table = topology.Queues.Aggregate(table, (made, queue) => made.Apply(new PutQueue(queue)));
        return topology.Bindings.Aggregate(table, (made, binding) => made.Apply(new AddBinding(binding)));
    }

    /// <summary>Returns the table after a change of policies.</summary>
    /// <param name="alternateOf">Returns the alternate exchange of an exchange.</param>
    public RoutingTable WithAlternates(Func<ExchangeState, string?> alternateOf)
    {
        var changed = _exchanges.Where(entry => entry.Value.Alternate != alternateOf(entry.Value.Exchange))
            .Select(entry => KeyValuePair.Create(entry.Key, entry.Value with { Alternate = alternateOf(entry.Value.Exchange) }));
        return new RoutingTable(_exchanges.SetItems(changed.ToArray()), _queues, alternateOf);
    }

    /// <summary>Returns the table after an edit.</summary>
    public RoutingTable Apply(TopologyEdit edit)
    {
        switch (edit)
        {
            case PutExchange { Exchange: var exchange }:
                var entry = _exchanges.TryGetValue(exchange.Name, out var known) && known.Exchange.Id == exchange.Id
                    ? known with { Exchange = exchange, Alternate = _alternateOf(exchange) }
                    : new Entry(exchange, ExchangeRoutes.Create(exchange), _alternateOf(exchange),
                        new RouteTarget(DestinationKind.Exchange, exchange.Name, exchange.Id));
                return With(_exchanges.SetItem(exchange.Name, entry));
            case RemoveExchange { Exchange: var exchange }:
                return With(_exchanges.Remove(exchange.Name));
            case PutQueue { Queue: var queue }:
                // The bindings of a known queue hold its target.
                return _queues.TryGetValue(queue.Name, out var same) && same.Id == queue.Id ? this : new RoutingTable(_exchanges,
                    _queues.SetItem(queue.Name, new RouteTarget(DestinationKind.Queue, queue.Name, queue.Id)), _alternateOf);
            case RemoveQueue { Queue: var queue }:
                return new RoutingTable(_exchanges, _queues.Remove(queue.Name), _alternateOf);
            case AddBinding { Binding: var binding }:
                return WithRoutes(binding, (routes, target) => routes.Add(binding, target));
            case RemoveBinding { Binding: var binding }:
                return WithRoutes(binding, (routes, target) => routes.Remove(binding, target));
            case PutConsumer or DropConsumer:
                return this;
            default:
                throw new ArgumentException($"The edit {edit.GetType().Name} is unknown.", nameof(edit));
        }
    }

    /// <summary>Returns the queues of a message, and the exchanges that delay it, each once. Its memory for the search is shared with other
    /// callers.</summary>
    /// <param name="exchange">The exchange that it was published to.</param>
    /// <param name="message">The message.</param>
    /// <returns>Null: it takes more than <see cref="RouteCollector.MaxSteps"/> steps. The message must not be published.</returns>
    public RouteTarget[]? TargetsOf(string exchange, in RoutedMessage message)
    {
        var collector = RouteCollectorPool.Shared.Rent();
        var targets = Route(exchange, message, collector) ? collector.Targets.ToArray() : null;
        RouteCollectorPool.Shared.Return(collector);
        return targets;
    }

    /// <summary>Finds the queues of a message. A queue is found once, however many bindings lead to it, and exchanges that lead to each
    /// other in a circle are visited once. An exchange that delays the message is found in place of what its bindings, or its alternate
    /// exchange, lead to.</summary>
    /// <param name="exchange">The exchange that it was published to.</param>
    /// <param name="message">The message.</param>
    /// <param name="collector">Takes the targets.</param>
    /// <returns>False: it takes more than <see cref="RouteCollector.MaxSteps"/> steps. The message must not be published.</returns>
    public bool Route(string exchange, in RoutedMessage message, RouteCollector collector)
    {
        collector.Begin(exchange);
        while (collector.TryNext(out var name))
        {
            if (!collector.TrySpend(1 + (message.MoreKeys?.Count ?? 0)))
                return false;
            var before = collector.Matches;
            if (name.Length == 0)
                RouteByName(message, collector);
            else if (_exchanges.TryGetValue(name, out var entry))
            {
                if (message.IsDelayed && entry.Exchange.Type == ExchangeTypes.Delayed)
                {
                    collector.AddDelaying(entry.Target);
                    continue;
                }
                entry.Routes.Collect(message, collector);
                if (collector.Matches == before && entry.Alternate is { } alternate)
                    collector.Visit(alternate);
            }
        }
        return !collector.IsExhausted;
    }

    private void RouteByName(in RoutedMessage message, RouteCollector collector)
    {
        if (_queues.TryGetValue(message.RoutingKey, out var queue))
            collector.Add(queue);
        foreach (var key in message.MoreKeys ?? [])
        {
            if (_queues.TryGetValue(key, out var other))
                collector.Add(other);
        }
    }

    private RoutingTable With(ImmutableDictionary<string, Entry> exchanges) => new(exchanges, _queues, _alternateOf);

    // An edit of a binding stands before that of the removal of its ends, and behind that of their creation.
    private RoutingTable WithRoutes(BindingState binding, Func<ExchangeRoutes, RouteTarget, ExchangeRoutes> change)
    {
        var source = _exchanges[binding.Source];
        var target = binding.Kind == DestinationKind.Queue ? _queues[binding.Destination] : _exchanges[binding.Destination].Target;
        return With(_exchanges.SetItem(binding.Source, source with { Routes = change(source.Routes, target) }));
    }

    private sealed record Entry(ExchangeState Exchange, ExchangeRoutes Routes, string? Alternate, RouteTarget Target);
}
