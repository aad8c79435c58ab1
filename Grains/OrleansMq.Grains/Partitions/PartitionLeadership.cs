using System.Collections.Concurrent;
using OrleansMq.Diagnostics;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Partitions;

/// <summary>The outcome of a request to lead a partition here.</summary>
/// <param name="Replica">The leading replica; null if the request was refused.</param>
/// <param name="Error">Why it was refused. Nothing was done, so the request may go to another broker.</param>
/// <param name="Message">The reason in words.</param>
internal readonly record struct LeadOutcome(Replica? Replica, ErrorCode Error = ErrorCode.None, string? Message = null)
{
    /// <summary>The replica does not lead.</summary>
    public static LeadOutcome Refused(ErrorCode error, string message) => new(null, error, message);
}

/// <summary>The replicas of a broker. Thread safe.</summary>
internal interface ILocalReplicas
{
    /// <summary>All of them.</summary>
    ReplicaManager Manager { get; }

    /// <summary>Whether this broker certainly leads the partition, without asking others.</summary>
    bool LeadsHere(ReplicaKey key);
}

/// <summary>
/// Leads partitions on this broker: claims, and opens the direct path to the engine for calls from this silo while it leads. Leadership
/// belongs to the replica: it survives the deactivation of the partition's grain, and the next activation finds it.
/// </summary>
internal sealed class PartitionLeadership(ILocalReplicas replicas, LeaderSearch search, LeaderFindings findings, ServedPartitions served,
    IBrokerPeers peers, TimeProvider time, EngineLog log)
{
    // A claim reads and writes the store once each and flushes once. This bounds the wait when the store is down.
    private static readonly TimeSpan ClaimTimeout = TimeSpan.FromSeconds(5);

    // The leaderships that calls from this silo use directly, each with the task of its end.
    private readonly ConcurrentDictionary<ReplicaKey, Task> _served = new();

    private volatile bool _leaving;

    /// <summary>Raised when a leadership has ended, for any reason.</summary>
    public event Action<ReplicaKey>? SteppedDown;

    /// <summary>Prepares for the broker's stop: no leadership is taken from now on.</summary>
    public void Leave() => _leaving = true;

    /// <summary>Whether the broker is about to stop.</summary>
    public bool IsLeaving => _leaving;

    /// <summary>Describes a replica of this broker to other brokers. While the broker is stopping, a replica that could lead is reported as
    /// unavailable.</summary>
    public ReplicaReport Report(Replica replica)
    {
        var report = replica.Report();
        return _leaving && report.Role != ReplicaRole.Leader ? report with { OfflineReason = report.OfflineReason ?? "it is stopping" }
            : report;
    }

    /// <summary>Leads the partition if it leads already or is the choice.</summary>
    public Task<LeadOutcome> LeadAsync(ReplicaKey key, CancellationToken cancellationToken) =>
        LeadAsync(key, findings.Take(key), cancellationToken);

    /// <summary>Leads the partition if it leads already or is the choice.</summary>
    /// <param name="key">The partition.</param>
    /// <param name="found">The result of a recent search; null to search. The claim replaces exactly the state that was found. If another
    /// state is stored by now, another broker may lead, and the claim is refused.</param>
    /// <param name="cancellationToken">Cancels the claim.</param>
    public async Task<LeadOutcome> LeadAsync(ReplicaKey key, LeaderFinding? found, CancellationToken cancellationToken)
    {
        if (replicas.Manager.TryGet(key, out var replica) && replica.Role == ReplicaRole.Leader)
            return new LeadOutcome(Serve(replica));
        if (_leaving)
            return LeadOutcome.Refused(ErrorCode.NotLeaderOrFollower,
                $"Broker {peers.Self} is stopping and no longer leads partition {key}. Retry.");
        found ??= await search.FindAsync(key).ConfigureAwait(false);
        if (found.Error != ErrorCode.None)
            return LeadOutcome.Refused(found.Error, $"Partition {key} has no leader. {found.Choice.Why}");
        if (found.Choice.Broker != peers.Self)
            return LeadOutcome.Refused(ErrorCode.NotLeaderOrFollower,
                $"Broker {found.Choice.Broker} leads partition {key}, or is about to. Retry.");
        try
        {
            replica ??= await OpenAsync(key, found).ConfigureAwait(false);
            return replica is null
                ? LeadOutcome.Refused(ErrorCode.LeaderNotAvailable,
                    $"Broker {peers.Self} is to lead partition {key} but does not know its topic yet. Retry.")
                : await ClaimAsync(replica, found, cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException refused)
        {
            return LeadOutcome.Refused(refused.Code, refused.Message);
        }
    }

    private async Task<Replica?> OpenAsync(ReplicaKey key, LeaderFinding found) =>
        found.State is { } state && state.Replicas.Contains(peers.Self)
        ? await replicas.Manager.GetOrCreateAsync(key).ConfigureAwait(false) : null;

    private async Task<LeadOutcome> ClaimAsync(Replica replica, LeaderFinding found, CancellationToken cancellationToken)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var timer = time.CreateTimer(_ => timeout.Cancel(), null, ClaimTimeout, Timeout.InfiniteTimeSpan);
        try
        {
            if (found.Choice.Unclean)
            {
                log.Write(EngineLogLevel.Warning,
                    $"Unclean election: partition {replica.TopicPartition} is led by broker {peers.Self} from offset "
                    + $"{replica.Report().LogEndOffset} on and may lack acknowledged records.");
            }
            var result = await replica.LeadAsync(new ClaimRequest(found.Choice.Lost, found.Choice.Unclean, found.Stored),
                timeout.Token).ConfigureAwait(false);
            return result.Outcome switch
            {
                ClaimOutcome.Claim => new LeadOutcome(Serve(replica)),
                ClaimOutcome.StoreInThePast => Refused(ErrorCode.KafkaStorageError, "its disk has seen a later epoch than the store"),
                ClaimOutcome.OtherTopic => Refused(ErrorCode.UnknownTopicId, "its directory belongs to another topic"),
                _ => Refused(ErrorCode.LeaderNotAvailable, "it may not lead"),
            };

            LeadOutcome Refused(ErrorCode error, string otherwise) => LeadOutcome.Refused(error,
                $"Broker {peers.Self} does not lead partition {replica.TopicPartition}: {result.Message ?? otherwise}. Retry.");
        }
        catch (OperationCanceledException)
        {
            return LeadOutcome.Refused(ErrorCode.LeaderNotAvailable,
                $"Broker {peers.Self} could not claim leadership of partition {replica.TopicPartition} within "
                + $"{ClaimTimeout.TotalSeconds} s: the store does not answer. Retry.");
        }
    }

    // The end of an earlier leadership must not remove the entry of a newer one.
    private Replica Serve(Replica replica)
    {
        var ended = replica.LeadershipEnded;
        if (_served.TryGetValue(replica.Key, out var watched) && watched == ended)
            return replica;
        _served[replica.Key] = ended;
        served.Add(replica.Partition);
        _ = ended.ContinueWith(_ =>
        {
            if (_served.TryRemove(new(replica.Key, ended)))
                served.Remove(replica.Partition);
            SteppedDown?.Invoke(replica.Key);
        }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        return replica;
    }
}
