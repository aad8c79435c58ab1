using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Replication;

/// <summary>"A member that lost its tail is not a member": gives a copy of a log its identity as it is opened.</summary>
internal static class ReplicaIncarnation
{
    /// <summary>Keeps the incarnation, or takes a new one as <see cref="IncarnationDecision"/> says; durable when it returns.</summary>
    /// <exception cref="IOException">It could not be written down.</exception>
    public static void Settle(Partition partition, BrokerOptions options)
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
        var settled = marks with { BootId = options.BootId };
        if (IncarnationDecision.MustRenew(opened))
        {
            settled = settled with { Incarnation = Guid.NewGuid(), CountedOnlyFlushed = partition.Config.FlushPolicy == FlushPolicy.Sync };
            if (opened.HasIncarnation)
                options.Log.Write(EngineLogLevel.Warning, $"Partition {partition.TopicPartition} may lack the end of its log (it was not closed in good order); "
                    + "it joins its replicas again by catching up.");
        }
        else if (partition.Config.FlushPolicy != FlushPolicy.Sync)
        {
            settled = settled with { CountedOnlyFlushed = false };
        }
        if (settled != marks)
            log.WriteMarks(settled);
    }
}
