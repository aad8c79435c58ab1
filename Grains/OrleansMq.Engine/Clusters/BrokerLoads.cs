namespace OrleansMq.Clusters;

/// <summary>The number of replicas and preferred leaders on each broker while they are being distributed.</summary>
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

    /// <summary>The brokers on which new replicas may be placed.</summary>
    public IEnumerable<Load> Taking => _loads.Values.Where(load => load.TakesReplicas);

    public IEnumerable<Load> All => _loads.Values;

    /// <summary>Returns a broker's load; null if it is not registered.</summary>
    public Load? Find(int broker) => _loads.GetValueOrDefault(broker);

    public bool TakesReplicas(int broker) => Find(broker)?.TakesReplicas ?? false;

    /// <summary>Counts the racks of replicas. A broker without a rack counts as a rack of its own.</summary>
    public int CountRacks(IEnumerable<int> replicas) => replicas.Select(RackOf).Distinct().Count();

    public string RackOf(int broker) => Find(broker)?.Rack is { } rack ? $"rack {rack}" : $"broker {broker}";

    /// <summary>Counts a partition's replicas.</summary>
    public void Add(IReadOnlyList<int> replicas) => Change(replicas, 1);

    /// <summary>Stops counting a partition's replicas.</summary>
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
        /// <summary>The number of partitions that it holds.</summary>
        public int Replicas { get; set; }
        /// <summary>The number of partitions of which it is the first replica.</summary>
        public int Leaders { get; set; }
    }
}
