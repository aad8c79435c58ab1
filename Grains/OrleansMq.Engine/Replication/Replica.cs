using OrleansMq.Partitions;

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
/// <param name="LostMembers">Members of the ISR whose broker answered with another incarnation, or holds no such replica any more: they cannot lead.</param>
/// <param name="Unclean">Lead although acknowledged records may be lost by it. The loss is logged.</param>
public sealed record ClaimRequest(IReadOnlyCollection<ReplicaIdentity> LostMembers, bool Unclean = false);

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
public sealed class Replica
{
    internal Replica(ReplicaKey key, Partition partition) => (Key, Partition) = (key, partition);

    /// <summary>Which partition.</summary>
    public ReplicaKey Key { get; }
    /// <summary>Topic and number.</summary>
    public TopicPartition TopicPartition => Partition.TopicPartition;
    /// <summary>Its log, and those who append and read.</summary>
    public Partition Partition { get; }
    /// <summary>Broker and incarnation.</summary>
    public ReplicaIdentity Identity => throw new NotImplementedException();
    /// <summary>What it is at the moment.</summary>
    public ReplicaRole Role => throw new NotImplementedException();
    /// <summary>The leader as far as it is known here; -1 where none is.</summary>
    public int Leader => throw new NotImplementedException();
    /// <summary>The highest epoch it has seen.</summary>
    public int LeaderEpoch => throw new NotImplementedException();
    /// <summary>The committed state while it leads; else null.</summary>
    public PartitionState? State => throw new NotImplementedException();
    /// <summary>Completes when the present leadership ends; complete where it does not lead.</summary>
    public Task LeadershipEnded => throw new NotImplementedException();

    /// <summary>Claims leadership; completes when it leads or was refused. While it leads already: at once.</summary>
    public Task<ClaimResult> LeadAsync(ClaimRequest request, CancellationToken cancellationToken) => throw new NotImplementedException();

    /// <summary>Hands leadership over: refuses appends, waits until the successor and the high watermark have reached the log's end or the time is up, and
    /// stores that it leads no more. Complete when it does not lead any more; where it did not, at once.</summary>
    /// <param name="successor">Who is to lead next; null for whoever is eligible.</param>
    /// <param name="deadline">The longest it may take.</param>
    public Task ResignAsync(int? successor, TimeSpan deadline) => throw new NotImplementedException();

    /// <summary>Stops leading at once: who waits is told that the outcome is unknown.</summary>
    public void StopLeading(string reason) => throw new NotImplementedException();

    /// <summary>Changes the replica set: those that are added catch up and join the ISR, then those that are not wanted any more leave. Complete when the
    /// write that begins it is stored.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.NotLeaderOrFollower"/>, <see cref="ErrorCode.RequestTimedOut"/>.</exception>
    public Task ReassignAsync(IReadOnlyList<int> replicas, CancellationToken cancellationToken) => throw new NotImplementedException();

    /// <summary>How it describes itself to others.</summary>
    public ReplicaReport Report() => throw new NotImplementedException();
}
