namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>A partition of one topic: of that name, deleted and created again, is another.</summary>
internal readonly record struct TopicIdPartition(Guid TopicId, int Partition);

/// <summary>A topic as somebody sees it.</summary>
internal sealed record SimulatedTopic(string Name, Guid Id, int Partitions)
{
    public IEnumerable<TopicIdPartition> All => Enumerable.Range(0, Partitions).Select(p => new TopicIdPartition(Id, p));
}
