namespace OrleansMq.Clusters;

/// <summary>How many replicas and preferred leaders each broker has, while they are being distributed.</summary>
internal sealed class BrokerLoads
{
    private readonly SortedDictionary<int, Load> _loads = [];

    public BrokerLoads(ClusterImage image)
    {
        foreach (var (id, broker) in image.Brokers)
            _loads[id] = new Load(id, broker.Registration.Rack, broker.TakesReplicas);
        foreach (var (_, _, partition) in image.AllPartitions())
            Add(partition.Target.IsEmpty ? partition.Replicas : partition.Target);
    }

    /// <summary>The brokers that new replicas may be placed on.</summary>
    public IEnumerable<Load> Taking => _loads.Values.Where(load => load.TakesReplicas);

    public IEnumerable<Load> All => _loads.Values;

    /// <summary>A broker's load; null for one that is not registered.</summary>
    public Load? Find(int broker) => _loads.GetValueOrDefault(broker);

    public bool TakesReplicas(int broker) => Find(broker)?.TakesReplicas ?? false;

    /// <summary>How many replicas stand in a rack of their own. Brokers without a rack are each a rack of their own.</summary>
    public int CountRacks(IEnumerable<int> replicas) => replicas.Select(RackOf).Distinct().Count();

    public string RackOf(int broker) => Find(broker)?.Rack is { } rack ? $"rack {rack}" : $"broker {broker}";

    /// <summary>Counts a partition.</summary>
    public void Add(IReadOnlyList<int> replicas) => Change(replicas, 1);

    /// <summary>Counts a partition no more.</summary>
    public void Remove(IReadOnlyList<int> replicas) => Change(replicas, -1);

    private void Change(IReadOnlyList<int> replicas, int by)
    {
        for (var index = 0; index < replicas.Count; index++)
        {
            if (!_loads.TryGetValue(replicas[index], out var load))
                continue;
            load.Replicas += by;
            load.Leaders += index == 0 ? by : 0;
        }
    }

    /// <summary>One broker.</summary>
    internal sealed class Load(int broker, string? rack, bool takesReplicas)
    {
        public int Broker => broker;
        public string? Rack => rack;
        public bool TakesReplicas => takesReplicas;
        /// <summary>Partitions that it holds.</summary>
        public int Replicas { get; set; }
        /// <summary>Partitions that it is the first replica of.</summary>
        public int Leaders { get; set; }
    }
}
