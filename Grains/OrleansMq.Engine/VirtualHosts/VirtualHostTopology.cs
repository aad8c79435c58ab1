using System.Collections.Immutable;

namespace OrleansMq.VirtualHosts;

/// <summary>
/// The exchanges, queues and bindings of a virtual host: the owner's working state, and every broker's image of it. Immutable; it changes
/// by <see cref="TopologyEdit"/>. The owner decides on the commands of clients (the other parts of this class), stores the shards that a
/// decision names, and sends its edits to the brokers.
/// <para>
/// Only what is durable is stored. The rest is in the memory of the owner and of all brokers; a new owner takes it over from the newest
/// image of the live brokers, and asks those that hold the queues which of them still exist.
/// </para>
/// <para>
/// What a crash between the writes of a decision leaves, and who repairs it: a stored binding whose source or destination is gone is not in
/// force, since it names their ids, and <see cref="Load"/> drops it. An exchange that is deleted automatically and has lost its last
/// binding is removed by <see cref="EndUnboundExchanges"/>; one that has its first binding, but not the mark, gets it from
/// <see cref="Load"/>.
/// </para>
/// </summary>
internal sealed partial class VirtualHostTopology
{
    private static readonly ImmutableHashSet<BindingState> NoBindings = [];

    private readonly ImmutableArray<VirtualHostShard> _shards;
    private readonly ImmutableDictionary<string, ImmutableHashSet<BindingState>> _bySource;
    private readonly ImmutableDictionary<string, ImmutableHashSet<BindingState>> _toQueue;
    private readonly ImmutableDictionary<string, ImmutableHashSet<BindingState>> _toExchange;
    private readonly ImmutableDictionary<string, ImmutableHashSet<string>> _byOwner;
    private readonly ImmutableDictionary<string, ImmutableHashSet<QueueConsumer>> _consumersOf;

    private VirtualHostTopology(string name, int queueCount, ImmutableArray<VirtualHostShard> shards,
        ImmutableDictionary<string, ImmutableHashSet<BindingState>> bySource,
        ImmutableDictionary<string, ImmutableHashSet<BindingState>> toQueue,
        ImmutableDictionary<string, ImmutableHashSet<BindingState>> toExchange,
        ImmutableDictionary<string, ImmutableHashSet<string>> byOwner,
        ImmutableDictionary<string, ImmutableHashSet<QueueConsumer>> consumersOf)
    {
        Name = name;
        QueueCount = queueCount;
        _shards = shards;
        _bySource = bySource;
        _toQueue = toQueue;
        _toExchange = toExchange;
        _byOwner = byOwner;
        _consumersOf = consumersOf;
    }

    /// <summary>The virtual host's name.</summary>
    public string Name { get; }

    /// <summary>The number of queues.</summary>
    public int QueueCount { get; }

    /// <summary>The exchanges without the predeclared ones, in no particular order.</summary>
    public IEnumerable<ExchangeState> Exchanges => _shards.SelectMany(shard => shard.Exchanges.Values);

    /// <summary>The queues, in no particular order.</summary>
    public IEnumerable<QueueState> Queues => _shards.SelectMany(shard => shard.Queues.Values);

    /// <summary>The bindings, in no particular order.</summary>
    public IEnumerable<BindingState> Bindings => _shards.SelectMany(shard => shard.Bindings);

    /// <summary>Creates a topology with nothing but the predeclared exchanges.</summary>
    public static VirtualHostTopology Create(string name) => new(name, 0,
        [.. Enumerable.Repeat(VirtualHostShard.Empty, VirtualHostShard.Count)], Index, Index, Index,
        ImmutableDictionary.Create<string, ImmutableHashSet<string>>(StringComparer.Ordinal),
        ImmutableDictionary.Create<string, ImmutableHashSet<QueueConsumer>>(StringComparer.Ordinal));

    private static ImmutableDictionary<string, ImmutableHashSet<BindingState>> Index { get; } =
        ImmutableDictionary.Create<string, ImmutableHashSet<BindingState>>(StringComparer.Ordinal);

    /// <summary>Creates a topology from the stored shards, without the bindings that are not in force.</summary>
    /// <param name="name">The virtual host's name.</param>
    /// <param name="documents">The stored shards.</param>
    /// <returns>The topology; the shards to write, since they hold such bindings or lack a mark.</returns>
    public static (VirtualHostTopology Topology, ImmutableArray<int> Repairs) Load(string name,
        IEnumerable<VirtualHostShardDocument> documents)
    {
        var all = documents.ToArray();
        var repairs = new SortedSet<int>();
        var topology = Create(name);
        foreach (var exchange in all.SelectMany(document => document.Exchanges))
            topology = topology.Apply(new PutExchange(exchange));
        foreach (var queue in all.SelectMany(document => document.Queues))
            topology = topology.Apply(new PutQueue(queue));
        foreach (var binding in all.SelectMany(document => document.Bindings))
        {
            if (!topology.IsInForce(binding))
            {
                repairs.Add(VirtualHostShard.Of(binding));
                continue;
            }
            topology = topology.Apply(new AddBinding(binding));
            if (topology.FindExchange(binding.Source) is { AutoDelete: true, WasBound: false } source)
            {
                topology = topology.Apply(new PutExchange(source with { WasBound = true }));
                repairs.Add(VirtualHostShard.Of(source.Name));
            }
        }
        return (topology, [.. repairs]);
    }

    /// <summary>Returns the topology with what another one has that is not durable, as far as names are free and ends exist.</summary>
    /// <param name="newest">The newest image of the virtual host.</param>
    public VirtualHostTopology WithTransient(VirtualHostTopology newest)
    {
        var topology = this;
        foreach (var exchange in newest.Exchanges.Where(exchange => !exchange.Durable && FindExchange(exchange.Name) is null))
            topology = topology.Apply(new PutExchange(exchange));
        foreach (var queue in newest.Queues.Where(queue => !queue.Durable && FindQueue(queue.Name) is null))
            topology = topology.Apply(new PutQueue(queue));
        foreach (var binding in newest._shards.SelectMany(static shard => shard.TransientBindings))
        {
            if (topology.IsInForce(binding))
                topology = topology.Apply(new AddBinding(binding));
        }
        foreach (var consumer in newest.Consumers.Where(consumer => topology.FindQueue(consumer.Queue)?.Id == consumer.QueueId))
            topology = topology.Apply(new PutConsumer(consumer));
        return topology;
    }

    /// <summary>Returns what is stored of a shard; null for no document.</summary>
    public VirtualHostShardDocument? DocumentOf(int shard) => _shards[shard].ToDocument();

    /// <summary>Returns an exchange, predeclared or not; null if there is none.</summary>
    public ExchangeState? FindExchange(string name) => ExchangeTypes.Predeclared.TryGetValue(name, out var predeclared)
        ? predeclared : _shards[VirtualHostShard.Of(name)].Exchanges.GetValueOrDefault(name);

    /// <summary>Returns a queue; null if there is none.</summary>
    public QueueState? FindQueue(string name) => _shards[VirtualHostShard.Of(name)].Queues.GetValueOrDefault(name);

    /// <summary>Returns the bindings from an exchange.</summary>
    public ImmutableHashSet<BindingState> BindingsFrom(string exchange) => _bySource.GetValueOrDefault(exchange, NoBindings);

    /// <summary>Returns the bindings to a queue or exchange, without that of the default exchange.</summary>
    public ImmutableHashSet<BindingState> BindingsTo(DestinationKind kind, string name) =>
        (kind == DestinationKind.Queue ? _toQueue : _toExchange).GetValueOrDefault(name, NoBindings);

    /// <summary>Returns the queues that end with a connection, which are its exclusive ones, or with a broker.</summary>
    public IReadOnlyCollection<string> QueuesOf(string owner) => _byOwner.GetValueOrDefault(owner, []);

    /// <summary>Whether both ends of a binding exist with the ids that it names.</summary>
    public bool IsInForce(BindingState binding) => FindExchange(binding.Source)?.Id == binding.SourceId
        && IdOf(binding.Kind, binding.Destination) == binding.DestinationId;

    /// <summary>Whether a binding in force is stored: both its ends are.</summary>
    public bool IsDurable(BindingState binding) => FindExchange(binding.Source) is { Durable: true }
        && (binding.Kind == DestinationKind.Queue ? FindQueue(binding.Destination) is { Durable: true }
            : FindExchange(binding.Destination) is { Durable: true });

    /// <summary>Applies an edit.</summary>
    public VirtualHostTopology Apply(TopologyEdit edit)
    {
        switch (edit)
        {
            case PutExchange { Exchange: var exchange }:
                return With(exchange.Name, shard => shard with { Exchanges = shard.Exchanges.SetItem(exchange.Name, exchange) });
            case RemoveExchange { Exchange: var exchange }:
                return With(exchange.Name, shard => shard with { Exchanges = shard.Exchanges.Remove(exchange.Name) });
            case PutQueue { Queue: var queue }:
                return With(queue.Name, shard => shard with { Queues = shard.Queues.SetItem(queue.Name, queue) },
                    FindQueue(queue.Name) is null ? 1 : 0,
                    queue.EndsWith is { } owner ? _byOwner.SetItem(owner, _byOwner.GetValueOrDefault(owner, []).Add(queue.Name)) : null);
            case RemoveQueue { Queue: var queue }:
                return With(queue.Name, shard => shard with { Queues = shard.Queues.Remove(queue.Name) },
                    FindQueue(queue.Name) is null ? 0 : -1, queue.EndsWith is { } gone ? Without(_byOwner, gone, queue.Name) : null);
            case AddBinding { Binding: var binding }:
                if (BindingsFrom(binding.Source).Contains(binding))
                    return this;
                var isDurable = IsDurable(binding);
                return WithBinding(binding, shard => shard.With(binding, isDurable),
                    (index, key) => index.SetItem(key, index.GetValueOrDefault(key, NoBindings).Add(binding)));
            case RemoveBinding { Binding: var binding }:
                return !BindingsFrom(binding.Source).Contains(binding) ? this
                    : WithBinding(binding, shard => shard.Without(binding), (index, key) => Without(index, key, binding));
            case PutConsumer { Consumer: var consumer }:
                return With(consumer.Queue, shard => shard.With(consumer), consumersOf: _consumersOf.SetItem(consumer.Connection,
                    _consumersOf.GetValueOrDefault(consumer.Connection, []).Add(consumer)));
            case DropConsumer { Consumer: var consumer }:
                return With(consumer.Queue, shard => shard.Without(consumer),
                    consumersOf: Without(_consumersOf, consumer.Connection, consumer));
            default:
                throw new ArgumentException($"The edit {edit.GetType().Name} is unknown.", nameof(edit));
        }
    }

    private static ImmutableDictionary<string, ImmutableHashSet<T>> Without<T>(ImmutableDictionary<string, ImmutableHashSet<T>> index,
        string key, T item) => !index.TryGetValue(key, out var items) ? index
            : items.Remove(item) is { IsEmpty: false } left ? index.SetItem(key, left) : index.Remove(key);

    private long? IdOf(DestinationKind kind, string name) =>
        kind == DestinationKind.Queue ? FindQueue(name)?.Id : FindExchange(name)?.Id;

    private VirtualHostTopology With(string name, Func<VirtualHostShard, VirtualHostShard> change, int queues = 0,
        ImmutableDictionary<string, ImmutableHashSet<string>>? byOwner = null,
        ImmutableDictionary<string, ImmutableHashSet<QueueConsumer>>? consumersOf = null)
    {
        var shard = VirtualHostShard.Of(name);
        return new VirtualHostTopology(Name, QueueCount + queues, _shards.SetItem(shard, change(_shards[shard])), _bySource, _toQueue,
            _toExchange, byOwner ?? _byOwner, consumersOf ?? _consumersOf);
    }

    private VirtualHostTopology WithBinding(BindingState binding, Func<VirtualHostShard, VirtualHostShard> change,
        Func<ImmutableDictionary<string, ImmutableHashSet<BindingState>>, string, ImmutableDictionary<string,
            ImmutableHashSet<BindingState>>> index)
    {
        var shard = VirtualHostShard.Of(binding);
        return new VirtualHostTopology(Name, QueueCount, _shards.SetItem(shard, change(_shards[shard])),
            index(_bySource, binding.Source),
            binding.Kind == DestinationKind.Queue ? index(_toQueue, binding.Destination) : _toQueue,
            binding.Kind == DestinationKind.Exchange ? index(_toExchange, binding.Destination) : _toExchange, _byOwner,
            _consumersOf);
    }
}
