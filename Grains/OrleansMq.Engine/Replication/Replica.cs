using OrleansMq.Log;
using OrleansMq.Partitions;
using OrleansMq.Replication.Links;
using OrleansMq.Storage;

namespace OrleansMq.Replication;

/// <summary>What a replica is at the moment.</summary>
public enum ReplicaRole
{
    /// <summary>Never.</summary>
    Unknown = 0,
    /// <summary>Takes what a leader pushes; answers no client.</summary>
    Follower = 1,
    /// <summary>Wants to lead: reads or writes the partition's state.</summary>
    Claiming = 2,
    /// <summary>Leads.</summary>
    Leader = 3,
    /// <summary>Its storage failed, or it would have to cut below what it knows to be acknowledged.</summary>
    Offline = 4,
}

/// <summary>How a replica may be made leader.</summary>
/// <param name="LostMembers">Members of the ISR whose broker answered with another incarnation, or holds no such replica any more: they
/// cannot lead.</param>
/// <param name="Unclean">Lead although acknowledged records may be lost by it. The loss is logged.</param>
/// <param name="Stored">What the last leader has just stored when it resigned, so that it need not be read; null: it is read. If it is
/// stored no more, the claim is refused.</param>
public sealed record ClaimRequest(IReadOnlyCollection<ReplicaIdentity> LostMembers, bool Unclean = false,
    StoredPartitionState? Stored = null);

/// <summary>What became of <see cref="Replica.LeadAsync"/>.</summary>
/// <param name="Outcome"><see cref="ClaimOutcome.Claim"/>: it leads.</param>
/// <param name="Message">Otherwise: why not.</param>
public sealed record ClaimResult(ClaimOutcome Outcome, string? Message = null);

/// <summary>A replica as it describes itself to others.</summary>
/// <param name="Key">Which partition.</param>
/// <param name="Identity">Broker and incarnation.</param>
/// <param name="Role">What it is at the moment.</param>
/// <param name="Leader">The leader as far as it knows; -1 where it knows none.</param>
/// <param name="LeaderEpoch">The highest epoch it has seen.</param>
/// <param name="LastEpoch">The epoch of its last batch; -1 for an empty log.</param>
/// <param name="LogStartOffset">The first offset it has.</param>
/// <param name="LogEndOffset">The offset after its last record.</param>
/// <param name="HighWatermark">The highest high watermark it knows.</param>
/// <param name="OfflineReason">Null while it works.</param>
public sealed record ReplicaReport(ReplicaKey Key, ReplicaIdentity Identity, ReplicaRole Role, int Leader, int LeaderEpoch, int LastEpoch,
    long LogStartOffset, long LogEndOffset, long HighWatermark, string? OfflineReason);

/// <summary>One partition's replica on this broker: its log, its role and its epoch, whoever speaks to it. Thread safe.</summary>
/// <remarks>
/// Both roles are driven under the log's append lock (<see cref="Step"/>); what they want done is collected there, and done in that order
/// by <see cref="Pump"/> when the lock is left. A fault of the storage, or a bug, takes the partition offline and ends the leadership.
/// </remarks>
public sealed partial class Replica
{
    private readonly ReplicaPorts _ports;
    private readonly SegmentedLog? _log;
    private readonly ReplicaLog? _view;
    private readonly FollowerReplica? _follower;
    private readonly List<ReplicationEffect> _effects = [];
    // Changed under the append lock, as the leader's own state; read by whoever wants to know.
    private volatile LeaderReplica? _leader;
    private volatile string? _refusal;
    private volatile bool _dropped;
    private volatile bool _hasEnded;

    internal Replica(ReplicaKey key, Partition partition, ReplicaPorts ports)
    {
        (Key, Partition, _ports, _log) = (key, partition, ports, partition.Log);
        _flush = new FlushWork(this);
        if (_log is null)
            return;
        Identity = new ReplicaIdentity(ports.Broker, _log.Marks.Incarnation);
        _view = new ReplicaLog(partition);
        lock (_log.AppendLock)
            _follower = new FollowerReplica(ReplicationRules.Shipped, _view, Identity, key.TopicId, _effects);
        partition.Replicate(this);
    }

    /// <summary>Which partition.</summary>
    public ReplicaKey Key { get; }
    /// <summary>Topic and number.</summary>
    public TopicPartition TopicPartition => Partition.TopicPartition;
    /// <summary>Its log, and those who append and read.</summary>
    public Partition Partition { get; }
    /// <summary>Broker and incarnation; an empty incarnation where the log could not be opened.</summary>
    public ReplicaIdentity Identity { get; }

    /// <summary>What it is at the moment.</summary>
    public ReplicaRole Role => OfflineReason is not null ? ReplicaRole.Offline : _leader?.Status switch
    {
        LeaderStatus.Leading => ReplicaRole.Leader,
        LeaderStatus.Reading or LeaderStatus.Claiming => ReplicaRole.Claiming,
        _ => ReplicaRole.Follower,
    };

    /// <summary>The leader as far as it is known here; -1 where none is.</summary>
    public int Leader => _leader is { Status: LeaderStatus.Leading } ? Identity.Broker : _follower?.Leader ?? PartitionState.NoLeader;
    /// <summary>The highest epoch it has seen.</summary>
    public int LeaderEpoch => _view?.Fence ?? 0;
    /// <summary>The committed state while it leads; else null.</summary>
    public PartitionState? State => _leader is { Status: LeaderStatus.Leading } leader ? leader.Committed : null;

    /// <summary>Why it can do nothing; null while it works.</summary>
    private string? OfflineReason => Partition.OfflineReason ?? _refusal ?? (_follower is { Status: FollowerStatus.Offline }
        ? $"Following the leader would cut {TopicPartition} below what was acknowledged: the replicas' histories part below the high "
        + "watermark "
            + $"{Partition.HighWatermark}. Compare the replicas before you remove this one's directory."
        : null);

    /// <summary>How it describes itself to others.</summary>
    public ReplicaReport Report() =>
        new(Key, Identity, Role, Leader, LeaderEpoch, Partition.Epochs?.EpochOf(Partition.LogEndOffset - 1) ?? -1,
            Partition.LogStartOffset, Partition.LogEndOffset, Partition.HighWatermark, OfflineReason);

    /// <summary>Whether what is on its disk is not what was written there: others may have it.</summary>
    internal bool IsDamaged => Partition.OfflineFault is DamagedLogException or InvalidDataException && (_log is null || _hasEnded)
        && !_dropped;

    /// <summary>The clock of leases, in milliseconds.</summary>
    internal long Now => _ports.Now;

    /// <summary>
    /// Gives the roles an input, under the append lock, then does what they want done.
    /// </summary>
    /// <param name="input">Calls the roles.</param>
    /// <param name="reply">Where answers to a broker go that waits for them; null: over its link.</param>
    /// <param name="mayCut">Whether it may cut the log, or move its start.</param>
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
            _ports.Warn(Key, $"Partition {TopicPartition} takes nothing from its leader: {fault.Message}");
        }
        catch (DiskFullException fault) when (!mayCut)
        {
            // Nothing was changed that is not whole: a push comes again. Only a leadership cannot begin by half.
            _ports.Warn(Key, $"Partition {TopicPartition}: {StorageFaults.DescribeRefused(_log.Directory, fault)}");
            StepLocked(() =>
            {
                if (_leader is { Status: LeaderStatus.Claiming } claiming)
                    claiming.Stop(fault.Message);
            });
        }
        catch (Exception fault)
        {
            // The log is in a state nobody knows, or the roles are.
            Partition.GoOffline(StorageFaults.IsStorageFault(fault)
                ? StorageFaults.Describe(_log.Directory, fault)
                : $"A bug in OrleansMq stopped the partition: {fault.Message} Please report it; then restart the broker.", fault);
        }
        Pump(reply);
    }

    private void StepLocked(Action input)
    {
        lock (_log!.AppendLock)
        {
            if (_dropped)
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
