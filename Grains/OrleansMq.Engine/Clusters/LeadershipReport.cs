using System.Collections.Immutable;
using OrleansMq.Replication;

namespace OrleansMq.Clusters;

/// <summary>A broker's report about a partition that it leads or led.</summary>
/// <param name="Key">The partition.</param>
/// <param name="Leads">Whether it leads. If not, only the epoch of the following values is meaningful.</param>
/// <param name="LeaderEpoch">The epoch in which it leads; if it does not lead, the highest epoch it has seen.</param>
/// <param name="Counter">Increases with every report of this broker process. Of two reports in one epoch the one with the higher counter
/// counts, in whatever order they arrive.</param>
/// <param name="Replicas">The brokers that hold it.</param>
/// <param name="Isr">In-sync replicas.</param>
/// <param name="Elr">Eligible leader replicas.</param>
/// <param name="Target">The brokers that will hold it; empty if it is not being moved.</param>
internal sealed record LeadershipReport(ReplicaKey Key, bool Leads, int LeaderEpoch, long Counter, ImmutableArray<int> Replicas,
    ImmutableArray<int> Isr, ImmutableArray<int> Elr, ImmutableArray<int> Target);

/// <summary>Decides which reports to apply: an image follows the newest report of a partition's leader, even if reports are lost,
/// duplicated or reordered. Not thread-safe.</summary>
internal sealed class LeadershipLedger
{
    // The epoch and counter of the last report applied for each partition.
    private readonly Dictionary<ReplicaKey, (int Epoch, long Counter)> _taken = [];

    /// <summary>Applies a broker's reports.</summary>
    /// <param name="image">The image before.</param>
    /// <param name="broker">The reporting broker.</param>
    /// <param name="reports">Its reports.</param>
    /// <param name="isComplete">Whether the reports cover every partition that it leads.</param>
    /// <returns>The image afterwards; the same instance if nothing changed. Its version is unchanged.</returns>
    public ClusterImage Take(ClusterImage image, int broker, IReadOnlyCollection<LeadershipReport> reports, bool isComplete)
    {
        var before = image;
        if (isComplete)
        {
            var led = reports.Where(report => report.Leads).Select(report => report.Key).ToHashSet();
            foreach (var (topic, number, partition) in before.AllPartitions())
            {
                var key = new ReplicaKey(topic.TopicId, number);
                if (partition.Leader == broker && !led.Contains(key))
                    image = image.WithPartition(key, partition with { Leader = PartitionState.NoLeader });
            }
        }
        foreach (var report in reports)
        {
            if (image.TryGetPartition(report.Key, out _, out var partition) && IsNews(partition, broker, report))
            {
                var next = Apply(partition, report, image.IsAlive(broker) ? broker : PartitionState.NoLeader);
                _taken[report.Key] = (report.LeaderEpoch, report.Counter);
                if (next != partition)
                    image = image.WithPartition(report.Key, next);
            }
        }
        return image;
    }

    /// <summary>Forgets the partitions of a removed topic.</summary>
    public void Forget(Guid topicId)
    {
        foreach (var key in _taken.Keys.Where(key => key.TopicId == topicId).ToArray())
            _taken.Remove(key);
    }

    private bool IsNews(ImagePartition partition, int broker, LeadershipReport report)
    {
        if (!report.Leads && partition.Leader != broker)
            return false;
        if (report.LeaderEpoch != partition.LeaderEpoch)
            return report.LeaderEpoch > partition.LeaderEpoch;
        return !_taken.TryGetValue(report.Key, out var taken) || taken.Epoch != report.LeaderEpoch || report.Counter > taken.Counter;
    }

    private static ImagePartition Apply(ImagePartition partition, LeadershipReport report, int leader) => report.Leads
        ? new ImagePartition(leader, report.LeaderEpoch, report.Replicas, report.Isr, report.Elr, report.Target)
        : partition with { Leader = PartitionState.NoLeader };
}
