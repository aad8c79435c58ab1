namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>A partition of one topic. A recreated topic of the same name has other partitions.</summary>
internal readonly record struct TopicIdPartition(Guid TopicId, int Partition);

/// <summary>A topic in the view of a broker or member.</summary>
internal sealed record SimulatedTopic(string Name, Guid Id, int Partitions)
{
    public IEnumerable<TopicIdPartition> All => Enumerable.Range(0, Partitions).Select(p => new TopicIdPartition(Id, p));
}
