using OrleansMq.Diagnostics;
using OrleansMq.Partitions;

namespace OrleansMq.Replication;

/// <summary>Determines the identity of a copy of a log when it is opened.</summary>
internal static class ReplicaIncarnation
{
    /// <summary>Keeps the incarnation or takes a new one, as <see cref="IncarnationDecision"/> says. Durable.</summary>
    /// <param name="partition">The opened partition.</param>
    /// <param name="options">The broker's options.</param>
    /// <param name="isConfigKnown">Whether the partition has its topic's configuration. One that was found at the start may get it later
    /// (<see cref="Partition.UpdateConfig"/>). Until then it flushes as if the topic required it.</param>
    /// <exception cref="IOException">The incarnation could not be written.</exception>
    public static void Settle(Partition partition, PartitionStoreOptions options, bool isConfigKnown)
    {
        if (partition.Log is not { } log || partition.OfflineReason is not null)
            return;
        var marks = log.Marks;
        var opened = new OpenedLog(
            HasIncarnation: marks.Incarnation != Guid.Empty,
            ClosedCleanly: log.Opening.IsClean,
            SameBoot: marks.BootId != Guid.Empty && marks.BootId == options.BootId,
            marks.CountedOnlyFlushed,
            FlushFailed: false, // A failed flush forgets the incarnation.
                                // Records that were not flushed were not counted.
            CutMoreThanLastWrite: log.Opening.CutMoreThanLastWrite && !marks.CountedOnlyFlushed);
        var (incarnation, countedOnlyFlushed) = (marks.Incarnation, marks.CountedOnlyFlushed);
        if (IncarnationDecision.MustRenew(opened))
        {
            // An incarnation that is kept keeps this mark, too, until the configuration says otherwise (FlushPromise).
            (incarnation, countedOnlyFlushed) = (Guid.NewGuid(), !isConfigKnown || FlushDecision.CountsOnlyFlushed(partition.Config));
            if (opened.HasIncarnation)
                options.Log.Write(EngineLogLevel.Warning,
                    $"Partition {partition.TopicPartition} may lack the end of its log (it was not closed in good order); "
                    + "it rejoins its replicas by catching up.");
        }
        log.Settle(incarnation, options.BootId,
            ReplicationRules.Shipped.FenceAfterRestart(marks.Fence, partition.Epochs!.Latest.Epoch), countedOnlyFlushed);
        if (countedOnlyFlushed && !FlushDecision.CountsOnlyFlushed(partition.Config))
            partition.FlushUntilConfigured();
    }
}
