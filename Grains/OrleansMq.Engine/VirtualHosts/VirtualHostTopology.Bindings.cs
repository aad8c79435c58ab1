using System.Globalization;

namespace OrleansMq.VirtualHosts;

/// <summary>A request to bind or unbind.</summary>
/// <param name="Source">The exchange that the binding leads from.</param>
/// <param name="Kind">What it leads to.</param>
/// <param name="Destination">The queue or exchange that it leads to.</param>
/// <param name="RoutingKey">The key or pattern.</param>
/// <param name="Arguments">The arguments; null for none.</param>
internal sealed record BindingRequest(string Source, DestinationKind Kind, string Destination, string RoutingKey = "",
    FieldTable? Arguments = null);

// Bindings.
internal sealed partial class VirtualHostTopology
{
    /// <summary>Decides on a bind. One that exists is not an error.</summary>
    /// <param name="request">The binding.</param>
    /// <param name="connection">The connection that binds; null for an operator.</param>
    public TopologyDecision Bind(BindingRequest request, string? connection)
    {
        request = Clean(request);
        if (FaultOf(request, connection) is { } fault)
            return Refuse(fault);
        if (ResourceNames.FaultOf("the routing key of a binding", request.RoutingKey) is { } tooLong)
            return Refuse(tooLong);
        if (request.Arguments?.FaultOf("a binding") is { } tooDeep)
            return Refuse(tooDeep);
        if (FindExchange(request.Source) is not { } source)
            return Refuse(NoExchange(request.Source));
        if (IdOf(request.Kind, request.Destination) is not { } destination)
            return Refuse(AmqpRefusal.NotFound(ResourceNames.Of(Name, request.Kind, request.Destination)));
        var binding = BindingOf(request, source.Id, destination);
        if (BindingFault(source, binding) is { } invalid)
            return Refuse(invalid);
        if (BindingsFrom(source.Name).Contains(binding))
            return TopologyDecision.Keep(this);
        var changes = new TopologyChanges(this);
        changes.Add(new AddBinding(binding));
        // The mark comes second: alone it would end an exchange that never had a binding.
        if (source is { AutoDelete: true, WasBound: false })
            changes.Add(new PutExchange(source with { WasBound = true }));
        return TopologyDecision.Accept(changes);
    }

    /// <summary>Decides on an unbind. A binding that does not exist is not an error, nor are missing ends.</summary>
    /// <inheritdoc cref="Bind"/>
    public TopologyDecision Unbind(BindingRequest request, string? connection)
    {
        request = Clean(request);
        if (FaultOf(request, connection) is { } fault)
            return Refuse(fault);
        if (FindExchange(request.Source) is not { } source || IdOf(request.Kind, request.Destination) is not { } destination)
            return TopologyDecision.Keep(this);
        var binding = BindingOf(request, source.Id, destination);
        if (!BindingsFrom(source.Name).Contains(binding))
            return TopologyDecision.Keep(this);
        var changes = new TopologyChanges(this);
        changes.Add(new RemoveBinding(binding, IsDead: false));
        EndIfUnbound(changes, source.Name);
        return TopologyDecision.Accept(changes);
    }

    private static BindingRequest Clean(BindingRequest request) => request with
    {
        Source = ResourceNames.Clean(request.Source),
        Destination = ResourceNames.Clean(request.Destination),
    };

    private static BindingState BindingOf(BindingRequest request, long source, long destination) => new()
    {
        Source = request.Source,
        SourceId = source,
        Destination = request.Destination,
        DestinationId = destination,
        Kind = request.Kind,
        RoutingKey = request.RoutingKey,
        Arguments = request.Arguments ?? FieldTable.Empty,
    };

    private static AmqpRefusal? BindingFault(ExchangeState source, BindingState binding) => ExchangeTypes.RoutingTypeOf(source) switch
    {
        ExchangeTypes.Headers => HeadersPattern.FaultOf(binding.Arguments) is { } fault ? AmqpRefusal.Precondition(fault) : null,
        ExchangeTypes.ConsistentHash when !int.TryParse(binding.RoutingKey, NumberStyles.None, CultureInfo.InvariantCulture, out _) =>
            AmqpRefusal.Precondition($"The binding key must be an integer: {binding.RoutingKey}"),
        _ => null,
    };

    private AmqpRefusal? FaultOf(BindingRequest request, string? connection)
    {
        if (request.Source.Length == 0 || request.Kind == DestinationKind.Exchange && request.Destination.Length == 0)
            return DefaultExchange;
        return request.Kind == DestinationKind.Queue && connection is not null && FindQueue(request.Destination) is { } queue
            && IsLocked(queue, connection) ? AmqpRefusal.Locked(QueueName(queue.Name)) : null;
    }
}
