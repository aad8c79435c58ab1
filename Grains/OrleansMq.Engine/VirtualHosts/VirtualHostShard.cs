using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.VirtualHosts;

/// <summary>
/// One of the documents that hold the exchanges, queues and bindings of a virtual host. An exchange or queue is on the shard of its name, a
/// binding on that of its source, destination and key: a declare and a bind write one shard each, whose size stays small even if one
/// exchange or queue has most of the bindings. What is not durable is on a shard in memory only; <see cref="ToDocument"/> omits it.
/// </summary>
internal sealed record VirtualHostShard
{
    /// <summary>The type of the documents: the first half of their keys.</summary>
    public const string StoreType = "vhost-shard";

    /// <summary>The number of shards: with ten thousand queues and a hundred thousand bindings each is some tens of kilobytes.</summary>
    public const int Count = 256;

    /// <summary>A shard without anything.</summary>
    public static VirtualHostShard Empty { get; } = new();

    /// <summary>The exchanges by name.</summary>
    public ImmutableSortedDictionary<string, ExchangeState> Exchanges { get; init; } =
        ImmutableSortedDictionary.Create<string, ExchangeState>(StringComparer.Ordinal);

    /// <summary>The queues by name.</summary>
    public ImmutableSortedDictionary<string, QueueState> Queues { get; init; } =
        ImmutableSortedDictionary.Create<string, QueueState>(StringComparer.Ordinal);

    /// <summary>The bindings that are stored, since both their ends are, in the order of the document.</summary>
    public ImmutableSortedSet<BindingState> DurableBindings { get; init; } = ImmutableSortedSet.Create<BindingState>(BindingOrder.Instance);

    /// <summary>The other bindings.</summary>
    public ImmutableSortedSet<BindingState> TransientBindings { get; init; } =
        ImmutableSortedSet.Create<BindingState>(BindingOrder.Instance);

    /// <summary>All bindings, in no particular order.</summary>
    public IEnumerable<BindingState> Bindings => DurableBindings.Concat(TransientBindings);

    /// <summary>The consumers of its queues: by the queue's id, then by their own. A queue without any is not there. They are never
    /// stored.</summary>
    public ImmutableSortedDictionary<long, ImmutableSortedDictionary<string, QueueConsumer>> Consumers { get; init; } =
        ImmutableSortedDictionary<long, ImmutableSortedDictionary<string, QueueConsumer>>.Empty;

    private static ImmutableSortedDictionary<string, QueueConsumer> NoConsumers { get; } =
        ImmutableSortedDictionary.Create<string, QueueConsumer>(StringComparer.Ordinal);

    /// <summary>Returns the shard of an exchange or queue.</summary>
    public static int Of(string name) => (int)(Hash(2166136261u, name) % Count);

    /// <summary>Returns the shard of a binding.</summary>
    public static int Of(BindingState binding) =>
        (int)(Hash(Hash(Hash(2166136261u, binding.Source), binding.Destination), binding.RoutingKey) % Count);

    /// <summary>Returns the name of a shard's document: the second half of its key. The virtual host's name may contain slashes.</summary>
    public static string NameOf(string virtualHost, int shard) =>
        string.Create(CultureInfo.InvariantCulture, $"{shard:x2}/{virtualHost}");

    /// <summary>Returns the key of a shard's document in the state store.</summary>
    public static string KeyOf(string virtualHost, int shard) => $"{StoreType}/{NameOf(virtualHost, shard)}";

    /// <summary>Returns the consumers of a queue, by their ids.</summary>
    /// <param name="queue">The queue's id.</param>
    public ImmutableSortedDictionary<string, QueueConsumer> ConsumersOf(long queue) => Consumers.GetValueOrDefault(queue, NoConsumers);

    /// <summary>Returns the consumers that another shard does not have. Those of queues that both share are not looked at.</summary>
    public IEnumerable<QueueConsumer> ConsumersBeyond(VirtualHostShard other)
    {
        foreach (var (queue, consumers) in Consumers)
        {
            var others = other.ConsumersOf(queue);
            if (ReferenceEquals(consumers, others))
                continue;
            foreach (var (id, consumer) in consumers)
            {
                if (!others.ContainsKey(id))
                    yield return consumer;
            }
        }
    }

    /// <summary>Returns the shard with a consumer.</summary>
    public VirtualHostShard With(QueueConsumer consumer) => this with
    {
        Consumers = Consumers.SetItem(consumer.QueueId, ConsumersOf(consumer.QueueId).SetItem(consumer.Id, consumer)),
    };

    /// <summary>Returns the shard without a consumer.</summary>
    public VirtualHostShard Without(QueueConsumer consumer)
    {
        var left = ConsumersOf(consumer.QueueId).Remove(consumer.Id);
        return this with
        {
            Consumers = left.IsEmpty ? Consumers.Remove(consumer.QueueId) : Consumers.SetItem(consumer.QueueId, left),
        };
    }

    /// <summary>Returns the bindings that another shard does not have.</summary>
    public IEnumerable<BindingState> BindingsBeyond(VirtualHostShard other) =>
        Beyond(DurableBindings, other.DurableBindings).Concat(Beyond(TransientBindings, other.TransientBindings));

    /// <summary>Returns the shard with a binding.</summary>
    /// <param name="binding">The binding.</param>
    /// <param name="isDurable">Whether both its ends are durable. That does not change while it is in force.</param>
    public VirtualHostShard With(BindingState binding, bool isDurable) => isDurable
        ? this with { DurableBindings = DurableBindings.Add(binding) }
        : this with { TransientBindings = TransientBindings.Add(binding) };

    /// <summary>Returns the shard without a binding.</summary>
    public VirtualHostShard Without(BindingState binding) => this with
    {
        DurableBindings = DurableBindings.Remove(binding),
        TransientBindings = TransientBindings.Remove(binding),
    };

    /// <summary>Returns what is stored: what is durable, in a fixed order. Null if that is nothing: then there is no document.</summary>
    public VirtualHostShardDocument? ToDocument()
    {
        var document = new VirtualHostShardDocument
        {
            Exchanges = [.. Exchanges.Values.Where(exchange => exchange.Durable)],
            Queues = [.. Queues.Values.Where(queue => queue.Durable)],
            Bindings = [.. DurableBindings],
        };
        return document.Exchanges.IsEmpty && document.Queues.IsEmpty && document.Bindings.IsEmpty ? null : document;
    }

    private static IEnumerable<BindingState> Beyond(ImmutableSortedSet<BindingState> bindings, ImmutableSortedSet<BindingState> others)
    {
        if (ReferenceEquals(bindings, others))
            yield break;
        // Both have the same order.
        using var other = others.AsEnumerable().GetEnumerator();
        var isMore = other.MoveNext();
        foreach (var binding in bindings)
        {
            var order = 1;
            while (isMore && (order = BindingOrder.Instance.Compare(other.Current, binding)) < 0)
                isMore = other.MoveNext();
            if (!isMore || order > 0)
                yield return binding;
        }
    }

    // FNV-1a over the text and an end: stored documents depend on it.
    private static uint Hash(uint hash, string text)
    {
        foreach (var c in text)
            hash = unchecked((hash ^ c) * 16777619);
        return unchecked((hash ^ 0xffff) * 16777619);
    }
}

/// <summary>A shard as stored.</summary>
internal sealed record VirtualHostShardDocument
{
    /// <summary>The durable exchanges, by name.</summary>
    public ImmutableArray<ExchangeState> Exchanges { get; init; } = [];

    /// <summary>The durable queues, by name.</summary>
    public ImmutableArray<QueueState> Queues { get; init; } = [];

    /// <summary>The bindings between them.</summary>
    public ImmutableArray<BindingState> Bindings { get; init; } = [];

    /// <summary>The epoch of the owner that wrote it; earlier owners no longer write it. 0 if none claimed it.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public int Epoch { get; init; }

    /// <summary>Returns the document as JSON.</summary>
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, VirtualHostJson.Default.VirtualHostShardDocument);

    /// <summary>Reads a document.</summary>
    /// <exception cref="JsonException">The document is damaged.</exception>
    public static VirtualHostShardDocument Parse(ReadOnlySpan<byte> json) =>
        JsonSerializer.Deserialize(json, VirtualHostJson.Default.VirtualHostShardDocument) ?? throw new JsonException("It is null.");
}

/// <summary>The JSON of the state documents, the same in both flavours. Arguments that a client sends have up to 64 levels, of which each
/// may take two here: a command that has them gets to the owner, which refuses it.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, MaxDepth = 256)]
[JsonSerializable(typeof(VirtualHostShardDocument))]
[JsonSerializable(typeof(VirtualHostSettings))]
[JsonSerializable(typeof(UserState))]
[JsonSerializable(typeof(VirtualHostIndex))]
[JsonSerializable(typeof(VirtualHostCommand))]
[JsonSerializable(typeof(VirtualHostAdministration))]
[JsonSerializable(typeof(VirtualHostsDelta))]
[JsonSerializable(typeof(VirtualHostRequest))]
[JsonSerializable(typeof(VirtualHostReply))]
internal sealed partial class VirtualHostJson : JsonSerializerContext;
