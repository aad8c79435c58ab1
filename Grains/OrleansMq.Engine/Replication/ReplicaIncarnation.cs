using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Replication;

/// <summary>"A member that lost its tail is not a member": gives a copy of a log its identity as it is opened.</summary>
internal static class ReplicaIncarnation
{
    /// <summary>Keeps the incarnation, or takes a new one as <see cref="IncarnationDecision"/> says; durable when it returns.</summary>
    /// <param name="partition">As it was opened.</param>
    /// <param name="options">The broker's.</param>
    /// <param name="isConfigKnown">Whether the partition has its topic's configuration. One that was found at the start may get it later
    /// (<see cref="Partition.UpdateConfig"/>): until then it flushes what might have to be.</param>
    /// <exception cref="IOException">It could not be written down.</exception>
    public static void Settle(Partition partition, BrokerOptions options, bool isConfigKnown)
    {
        if (partition.Log is not { } log || partition.OfflineReason is not null)
            return;
        var marks = log.Marks;
        var opened = new OpenedLog(
            HasIncarnation: marks.Incarnation != Guid.Empty,
            ClosedCleanly: log.Opening.IsClean,
            SameBoot: marks.BootId != Guid.Empty && marks.BootId == options.BootId,
            marks.CountedOnlyFlushed,
            FlushFailed: false, // Who sees a flush fail forgets the incarnation.
                                // What was not flushed was not counted.
            CutMoreThanLastWrite: log.Opening.CutMoreThanLastWrite && !marks.CountedOnlyFlushed);
        var settled = marks with
        {
            BootId = options.BootId,
            Fence = ReplicationRules.Shipped.FenceAfterRestart(marks.Fence, partition.Epochs!.Latest.Epoch),
        };
        if (IncarnationDecision.MustRenew(opened))
        {
            settled = settled with
            {
                Incarnation = Guid.NewGuid(),
                CountedOnlyFlushed = !isConfigKnown || partition.Config.FlushPolicy == FlushPolicy.Sync,
            };
            if (opened.HasIncarnation)
                options.Log.Write(EngineLogLevel.Warning,
                    $"Partition {partition.TopicPartition} may lack the end of its log (it was not closed in good order); "
                    + "it joins its replicas again by catching up.");
        }
        if (settled != marks)
            log.WriteMarks(settled);
        if (settled.CountedOnlyFlushed && partition.Config.FlushPolicy != FlushPolicy.Sync)
            partition.FlushUntilConfigured();
    }
}
