using System.Collections.Concurrent;
using OrleansMq.Diagnostics;
using OrleansMq.Replication;

namespace OrleansMq.Grains.Partitions;

/// <summary>What became of a wish to lead a partition here.</summary>
/// <param name="Replica">Leads; null where it was refused.</param>
/// <param name="Error">Otherwise: why not. Nothing was done, so the request may go to whoever leads.</param>
/// <param name="Message">In words.</param>
internal readonly record struct LeadOutcome(Replica? Replica, ErrorCode Error = ErrorCode.None, string? Message = null)
{
    /// <summary>It does not lead.</summary>
    public static LeadOutcome Refused(ErrorCode error, string message) => new(null, error, message);
}

/// <summary>The replicas of a broker. Thread safe.</summary>
internal interface ILocalReplicas
{
    /// <summary>All of them.</summary>
    ReplicaManager Manager { get; }

    /// <summary>Whether this broker leads the partition beyond doubt: nobody need be asked.</summary>
    bool LeadsHere(ReplicaKey key);
}

/// <summary>
/// Leads partitions on this broker: claims, and lets calls from this silo to the engine directly for as long as it leads. Leadership is the
/// replica's: it outlives an activation of the partition's grain that Orleans takes away, and the next activation finds it.
/// </summary>
internal sealed class PartitionLeadership(ILocalReplicas replicas, LeaderSearch search, LeaderFindings findings, ServedPartitions served,
    IBrokerPeers peers,
    TimeProvider time, EngineLog log)
{
    // A claim reads and writes the store once each and flushes once; with the store down it would wait for as long as it is allowed to.
    private static readonly TimeSpan ClaimTimeout = TimeSpan.FromSeconds(5);

    // The leaderships that calls from this silo know of, by their end.
    private readonly ConcurrentDictionary<ReplicaKey, Task> _served = new();

    private volatile bool _leaving;

    /// <summary>A leadership has ended, whyever.</summary>
    public event Action<ReplicaKey>? SteppedDown;

    /// <summary>The broker is about to stop: from now on it takes no leadership.</summary>
    public void Leave() => _leaving = true;

    /// <summary>The broker is about to stop.</summary>
    public bool IsLeaving => _leaving;

    /// <summary>How a replica of this broker describes itself to others: one that could lead does not offer it while the broker is about to
    /// stop.</summary>
    public ReplicaReport Report(Replica replica)
    {
        var report = replica.Report();
        return _leaving && report.Role != ReplicaRole.Leader ? report with { OfflineReason = report.OfflineReason ?? "it is stopping" }
            : report;
    }

    /// <summary>Leads the partition where it leads already, or is the one to lead.</summary>
    public Task<LeadOutcome> LeadAsync(ReplicaKey key, CancellationToken cancellationToken) =>
        LeadAsync(key, findings.Take(key), cancellationToken);

    /// <summary>Leads the partition where it leads already, or is the one to lead.</summary>
    /// <param name="key">Which.</param>
    /// <param name="found">What a search has just found out; null to search. The claim is for the state that was found: where something
    /// else is stored by now, somebody else may lead, and it is refused.</param>
    /// <param name="cancellationToken">Gives the claim up.</param>
    public async Task<LeadOutcome> LeadAsync(ReplicaKey key, LeaderFinding? found, CancellationToken cancellationToken)
    {
        if (replicas.Manager.TryGet(key, out var replica) && replica.Role == ReplicaRole.Leader)
            return new LeadOutcome(Serve(replica));
        if (_leaving)
            return LeadOutcome.Refused(ErrorCode.NotLeaderOrFollower,
                $"Broker {peers.Self} is stopping and leads partition {key} no more. Retry.");
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
                    $"Broker {peers.Self} is to lead partition {key}, and does not know its topic yet. Retry.")
                : await ClaimAsync(replica, found, cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException refused)
        {
            return LeadOutcome.Refused(refused.Code, refused.Message);
        }
    }

    private async Task<Replica?> OpenAsync(ReplicaKey key, LeaderFinding found) =>
        found.State is { } state && state.Replicas.Contains(peers.Self)
        ? await Task.Run(() => replicas.Manager.GetOrCreate(key)).ConfigureAwait(false) : null;

    private async Task<LeadOutcome> ClaimAsync(Replica replica, LeaderFinding found, CancellationToken cancellationToken)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        using var timer = time.CreateTimer(_ => timeout.Cancel(), null, ClaimTimeout, Timeout.InfiniteTimeSpan);
        try
        {
            if (found.Choice.Unclean)
            {
                log.Write(EngineLogLevel.Warning, $"Partition {replica.TopicPartition} is led by broker {peers.Self} from offset "
                    + $"{replica.Report().LogEndOffset} on, although it may lack acknowledged records: an unclean election.");
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
                $"Broker {peers.Self} could not claim partition {replica.TopicPartition} within "
                + $"{ClaimTimeout.TotalSeconds} s: the store does not answer. Retry.");
        }
    }

    // The end of a former leadership does not take out what a new one entered.
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
