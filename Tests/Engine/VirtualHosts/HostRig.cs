using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Engine.VirtualHosts;

/// <summary>A virtual host with its stored shards, driven as its owner drives it.</summary>
internal sealed class HostRig
{
    public const string Connection = "c1";

    private readonly Dictionary<int, byte[]> _stored = [];
    private readonly SortedSet<int> _later = [];
    private long _lastId = 100;

    public VirtualHostTopology Topology { get; private set; } = VirtualHostTopology.Create("/");

    public long NextId() => ++_lastId;

    public HostRig Exchange(string name, string type = ExchangeTypes.Direct, bool durable = true, bool autoDelete = false,
        bool isInternal = false, FieldTable? arguments = null)
    {
        Do(Topology.DeclareExchange(new ExchangeDeclaration
        {
            Name = name,
            Type = type,
            Durable = durable,
            AutoDelete = autoDelete,
            Internal = isInternal,
            Arguments = arguments ?? FieldTable.Empty,
        }, NextId()));
        return this;
    }

    public HostRig Queue(string name, bool durable = true, bool exclusive = false, bool autoDelete = false, FieldTable? arguments = null)
    {
        Do(Declare(name, durable, exclusive, autoDelete, arguments));
        return this;
    }

    public TopologyDecision Declare(string name, bool durable = true, bool exclusive = false, bool autoDelete = false,
        FieldTable? arguments = null, string connection = Connection, QueueType? defaultType = null) => Topology.DeclareQueue(
            new QueueDeclaration
            {
                Name = name,
                Durable = durable,
                Exclusive = exclusive,
                AutoDelete = autoDelete,
                Arguments = arguments ?? FieldTable.Empty,
            }, connection, NextId(), "amq.gen-JzTY20BRgKO-HjmUJj0wLg", defaultType);

    public HostRig Bind(string source, string queue, string key = "", FieldTable? arguments = null)
    {
        Do(Topology.Bind(new BindingRequest(source, DestinationKind.Queue, queue, key, arguments), Connection));
        return this;
    }

    public HostRig BindExchange(string source, string exchange, string key = "")
    {
        Do(Topology.Bind(new BindingRequest(source, DestinationKind.Exchange, exchange, key), Connection));
        return this;
    }

    /// <summary>Stores what a decision says, and goes on with its topology.</summary>
    public TopologyDecision Do(TopologyDecision decision)
    {
        Assert.Null(decision.Refusal);
        WriteFirst(decision, decision.WritesBefore.Length);
        _later.UnionWith(decision.WritesLater);
        Topology = decision.Next;
        return decision;
    }

    /// <summary>Goes on with a decision's topology. All shards are written later, at once.</summary>
    public TopologyDecision DoUnstored(TopologyDecision decision)
    {
        Assert.Null(decision.Refusal);
        _later.UnionWith(decision.WritesBefore);
        Topology = decision.Next;
        return decision;
    }

    /// <summary>Writes the first shards of a decision, and no more.</summary>
    public void WriteFirst(TopologyDecision decision, int count)
    {
        foreach (var shard in decision.WritesBefore[..count])
            Write(decision.Next, shard);
    }

    /// <summary>Writes what could wait.</summary>
    public void WriteLater()
    {
        foreach (var shard in _later)
            Write(Topology, shard);
        _later.Clear();
    }

    /// <summary>A new owner reads what is stored.</summary>
    public (VirtualHostTopology Topology, IReadOnlyList<int> Repairs) Load()
    {
        var (topology, repairs) = VirtualHostTopology.Load("/", _stored.Values.Select(bytes => VirtualHostShardDocument.Parse(bytes)));
        return (topology, repairs);
    }

    public int LargestDocument => _stored.Values.Max(bytes => bytes.Length);

    public int StoredShards => _stored.Count;

    /// <summary>All that is durable, as text.</summary>
    public static string Durable(VirtualHostTopology topology) => string.Join('\n', Enumerable.Range(0, VirtualHostShard.Count)
        .Select(topology.DocumentOf).OfType<VirtualHostShardDocument>()
        .Select(document => System.Text.Encoding.UTF8.GetString(document.ToBytes())));

    private void Write(VirtualHostTopology topology, int shard)
    {
        if (topology.DocumentOf(shard) is { } document)
            _stored[shard] = document.ToBytes();
        else
            _stored.Remove(shard);
    }
}
