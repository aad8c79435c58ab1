using OrleansMq.Log;
using OrleansMq.Partitions;
using OrleansMq.Replication.Links;

namespace OrleansMq.Replication;

/// <summary>A replica's current role.</summary>
internal enum ReplicaRole
{
    /// <summary>Never.</summary>
    Unknown = 0,
    /// <summary>Accepts a leader's pushes; answers no client.</summary>
    Follower = 1,
    /// <summary>Is about to lead: reads or writes the partition's state.</summary>
    Claiming = 2,
    /// <summary>Leads.</summary>
    Leader = 3,
    /// <summary>Its storage failed, or following the leader would truncate records known to be acknowledged.</summary>
    Offline = 4,
}

/// <summary>The conditions of a claim.</summary>
/// <param name="LostMembers">ISR members whose broker answered with another incarnation, or without such a replica, so that they cannot
/// lead.</param>
/// <param name="Unclean">Whether to lead although acknowledged records may be lost. The loss is logged.</param>
/// <param name="Stored">The state that the last leader has just stored with its resignation, to save a read; null to read it. If another
/// state is stored by now, the claim is refused.</param>
internal sealed record ClaimRequest(IReadOnlyCollection<ReplicaIdentity> LostMembers, bool Unclean = false,
    StoredPartitionState? Stored = null);

/// <summary>The result of <see cref="Replica.LeadAsync"/>.</summary>
/// <param name="Outcome"><see cref="ClaimOutcome.Claim"/> if it leads.</param>
/// <param name="Message">The reason if it does not.</param>
internal sealed record ClaimResult(ClaimOutcome Outcome, string? Message = null);

/// <summary>A replica's description of itself to other brokers.</summary>
/// <param name="Key">The partition.</param>
/// <param name="Identity">Broker and incarnation.</param>
/// <param name="Role">Its current role.</param>
/// <param name="Leader">The leader as far as it knows; -1 if it knows none.</param>
/// <param name="LeaderEpoch">The highest epoch it has seen.</param>
/// <param name="LastEpoch">The epoch of its last batch; -1 for an empty log.</param>
/// <param name="LogStartOffset">Its first offset.</param>
/// <param name="LogEndOffset">The offset after its last record.</param>
/// <param name="HighWatermark">The highest high watermark it knows.</param>
/// <param name="OfflineReason">Why it is offline; null while it works.</param>
internal sealed record ReplicaReport(ReplicaKey Key, ReplicaIdentity Identity, ReplicaRole Role, int Leader, int LeaderEpoch, int LastEpoch,
    long LogStartOffset, long LogEndOffset, long HighWatermark, string? OfflineReason);

/// <summary>One partition's replica on this broker: its log, its role and its epoch, for all callers. Thread safe.</summary>
/// <remarks>
/// Both roles run under the log's append lock (<see cref="Step"/>). Their effects are collected there and executed in that order by
/// <see cref="Pump"/> after the lock is released. A storage fault or a bug takes the partition offline and ends the leadership.
/// </remarks>
internal sealed partial class Replica
{
    private readonly ReplicaPorts _ports;
    private readonly SegmentedLog? _log;
    private readonly ReplicaLog? _view;
    private readonly FollowerReplica? _follower;
    private readonly List<ReplicationEffect> _effects = [];
    // Changed under the append lock, like the leader's own state; read from any thread.
    private volatile LeaderReplica? _leader;
    private volatile string? _refusal;
    private volatile bool _dropped;
    private volatile bool _hasEnded;

    internal Replica(ReplicaKey key, Partition partition, ReplicaPorts ports)
    {
        (Key, Partition, _ports, _log) = (key, partition, ports, partition.Log);
        if (_log is null)
            return;
        Identity = new ReplicaIdentity(ports.Broker, _log.Marks.Incarnation);
        _view = new ReplicaLog(partition);
        lock (_log.AppendLock)
            _follower = new FollowerReplica(ReplicationRules.Shipped, _view, Identity, key.TopicId, _effects);
        partition.Replicate(this);
    }

    /// <summary>The partition's key.</summary>
    public ReplicaKey Key { get; }
    /// <summary>Topic name and partition number.</summary>
    public TopicPartition TopicPartition => Partition.TopicPartition;
    /// <summary>The log with its appends and reads.</summary>
    public Partition Partition { get; }
    /// <summary>Broker and incarnation; the incarnation is empty if the log could not be opened.</summary>
    public ReplicaIdentity Identity { get; }

    /// <summary>The current role.</summary>
    public ReplicaRole Role => OfflineReason is not null ? ReplicaRole.Offline : _leader?.Status switch
    {
        LeaderStatus.Leading => ReplicaRole.Leader,
        LeaderStatus.Reading or LeaderStatus.Claiming => ReplicaRole.Claiming,
        _ => ReplicaRole.Follower,
    };

    /// <summary>The leader as far as known here; -1 for none.</summary>
    public int Leader => _leader is { Status: LeaderStatus.Leading } ? Identity.Broker : _follower?.Leader ?? PartitionState.NoLeader;
    /// <summary>The highest epoch it has seen.</summary>
    public int LeaderEpoch => _view?.Fence ?? 0;
    /// <summary>The committed state while it leads; else null.</summary>
    public PartitionState? State => _leader is { Status: LeaderStatus.Leading } leader ? leader.Committed : null;

    /// <summary>Why it is out of service; null while it works.</summary>
    private string? OfflineReason => Partition.OfflineReason ?? _refusal ?? (_follower is { Status: FollowerStatus.Offline }
        ? $"Following the leader would remove acknowledged records of {TopicPartition}: the replicas' histories diverge below the high "
            + $"watermark {Partition.HighWatermark}. Compare the replicas before you remove this one's directory."
        : null);

    /// <summary>Describes the replica to other brokers.</summary>
    public ReplicaReport Report() =>
        new(Key, Identity, Role, Leader, LeaderEpoch, Partition.Epochs?.EpochOf(Partition.LogEndOffset - 1) ?? -1,
            Partition.LogStartOffset, Partition.LogEndOffset, Partition.HighWatermark, OfflineReason);

    /// <summary>Whether a push begins an epoch here, which takes flushes.</summary>
    internal bool IsFirst(Push push) => push.Epoch > LeaderEpoch && !_dropped && OfflineReason is null;

    /// <summary>Whether its disk lost or changed records, which other replicas may have.</summary>
    internal bool IsDamaged => Partition.OfflineFault is DamagedLogException or InvalidDataException && (_log is null || _hasEnded)
        && !_dropped;

    /// <summary>Whether a lack of handles, memory or space kept its log from being opened, or interrupted a cut of it: opened again, it
    /// works once that has passed.</summary>
    internal bool IsToBeReopened => !_dropped && (_log is null || (_log.IsCutInterrupted && _hasEnded))
        && Partition.OfflineFault is { } fault && (fault is InterruptedCutException || StorageFaults.Passes(fault));

    /// <summary>The clock of leases, in milliseconds.</summary>
    internal long Now => _ports.Now;

    /// <summary>
    /// Passes an input to the roles under the append lock, then executes their effects.
    /// </summary>
    /// <param name="input">Calls the roles.</param>
    /// <param name="reply">Collects answers to a broker that waits for them; null to send them over its link.</param>
    /// <param name="mayCut">Whether it may truncate the log or move its start.</param>
    private void Step(Action input, BundleReply? reply = null, bool mayCut = false)
    {
        if (_log is null || _dropped || Partition.OfflineReason is not null)
            return;
        try
        {
            if (mayCut)
            {
                lock (_log.RemovalLock)
                    StepLocked(input);
            }
            else
            {
                StepLocked(input);
            }
        }
        catch (PushNotTakenException fault)
        {
            _ports.Warn(Key, $"Partition {TopicPartition} cannot accept its leader's batches: {fault.Message}");
        }
        catch (Exception fault) when (StorageFaults.Passes(fault) && !_log.IsHalfCut)
        {
            // Nothing is half done, and a push or a lookup will be resent. Only a leadership cannot begin half way.
            _ports.Warn(Key, $"Partition {TopicPartition}: {StorageFaults.DescribeRefused(_log.Directory, fault)}");
            StepLocked(() =>
            {
                if (_leader is { Status: LeaderStatus.Claiming } claiming)
                    claiming.Stop(fault.Message);
            });
        }
        catch (Exception fault)
        {
            // The state of the log, or of the roles, is unknown.
            Partition.GoOffline(DescribeFault(fault), fault);
        }
        Pump(reply);
    }

    private string DescribeFault(Exception fault) => StorageFaults.IsStorageFault(fault) || StorageFaults.IsOfContent(fault)
        ? StorageFaults.Describe(_log!.Directory, fault)
        : StorageFaults.DescribeBug(fault);

    private void StepLocked(Action input)
    {
        lock (_log!.AppendLock)
        {
            // A step that waited for the lock: what a half-done cut left is nobody's log.
            if (_dropped || _log.IsHalfCut)
                return;
            try
            {
                input();
            }
            finally
            {
                NoteChanges();
            }
        }
    }
}
