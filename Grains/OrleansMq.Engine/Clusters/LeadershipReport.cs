using System.Collections.Immutable;
using OrleansMq.Replication;

namespace OrleansMq.Clusters;

/// <summary>What a broker says of a partition that it leads, or led.</summary>
/// <param name="Key">Which partition.</param>
/// <param name="Leads">Whether it leads; of what follows the epoch alone counts where it does not.</param>
/// <param name="LeaderEpoch">The epoch that it leads in; where it does not lead, the highest it has seen.</param>
/// <param name="Counter">Rises with every report of this broker's process: of two in one epoch the later one holds, in whatever order they
/// arrive.</param>
/// <param name="Replicas">The brokers that hold it.</param>
/// <param name="Isr">In-sync replicas.</param>
/// <param name="Elr">Eligible leader replicas.</param>
/// <param name="Target">The brokers that are to hold it; empty where nothing moves.</param>
public sealed record LeadershipReport(ReplicaKey Key, bool Leads, int LeaderEpoch, long Counter, ImmutableArray<int> Replicas,
    ImmutableArray<int> Isr,
    ImmutableArray<int> Elr, ImmutableArray<int> Target);

/// <summary>Which reports were taken: an image follows the newest word of a partition's leader, whatever is lost, doubled or overtaken on
/// the way. For one thread at a time.</summary>
public sealed class LeadershipLedger
{
    // The last report taken of each partition: which epoch, and which counter in it.
    private readonly Dictionary<ReplicaKey, (int Epoch, long Counter)> _taken = [];

    /// <summary>Takes a broker's reports.</summary>
    /// <param name="image">The image before.</param>
    /// <param name="broker">Who reports.</param>
    /// <param name="reports">What it says.</param>
    /// <param name="isComplete">Whether it leads nothing else.</param>
    /// <returns>The image afterwards; the very same where nothing is new. Its version is the same.</returns>
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

    /// <summary>The partitions of a topic that is gone are forgotten.</summary>
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
