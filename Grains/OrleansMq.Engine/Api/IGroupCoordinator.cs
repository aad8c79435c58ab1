namespace OrleansMq.Api;

/// <summary>
/// Consumer groups: who is in a group, who reads which partition, and how far each partition was read. One implementation runs in process,
/// one over grains, one over HTTP in the client library; each finds the coordinator of the group by itself.
/// <para>Requests of the protocols return their <see cref="ErrorCode"/>; administration throws <see cref="BrokerException"/>. Thread safe.
/// Whatever an answer reveals (a member id, a generation, an assignment, a committed offset) is stored before it is given.</para>
/// <para>Two protocols form groups. The <em>classic</em> one (join, sync, heartbeat, leave): the members' leader assigns partitions. The
/// <em>consumer</em> protocol (KIP-848): the coordinator assigns, and members learn of it from their heartbeats.</para>
/// </summary>
public interface IGroupCoordinator
{
    /// <summary>The broker that coordinates a group now. Any broker serves any group; this one without a hop.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidGroupId"/>; <see cref="ErrorCode.CoordinatorNotAvailable"/>:
    /// retry.</exception>
    ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default);

    /// <summary>Classic: asks to be a member of the next generation. Answered when all members have joined, at the latest after the longest
    /// rebalance timeout among them. A caller that stops waiting stays a member until its session ends.</summary>
    ValueTask<JoinGroupResult> JoinGroupAsync(JoinGroup request, CancellationToken cancellationToken = default);

    /// <summary>Classic: asks for the assignment in the generation joined; the leader brings everybody's. Answered when the leader has
    /// brought it.</summary>
    ValueTask<SyncGroupResult> SyncGroupAsync(SyncGroup request, CancellationToken cancellationToken = default);

    /// <summary>Classic: says that a member is alive. <see cref="ErrorCode.RebalanceInProgress"/>: join again.</summary>
    ValueTask<GroupReply> HeartbeatAsync(Heartbeat request, CancellationToken cancellationToken = default);

    /// <summary>Classic: members leave, by their id or (static ones, as an operator may do) by their instance id.</summary>
    ValueTask<LeaveGroupResult> LeaveGroupAsync(LeaveGroup request, CancellationToken cancellationToken = default);

    /// <summary>Consumer protocol: joins, says that a member is alive and what it holds, hears what it is to hold, leaves.</summary>
    ValueTask<ConsumerGroupHeartbeatResult> ConsumerGroupHeartbeatAsync(ConsumerGroupHeartbeat request,
        CancellationToken cancellationToken = default);

    /// <summary>Stores offsets; answered when they are stored. An error of the whole request stands at every partition.</summary>
    ValueTask<OffsetCommitResult> CommitOffsetsAsync(OffsetCommit request, CancellationToken cancellationToken = default);

    /// <summary>What was committed.</summary>
    ValueTask<OffsetFetchResult> FetchOffsetsAsync(OffsetFetch request, CancellationToken cancellationToken = default);

    /// <summary>Forgets the offsets of partitions that no member is subscribed to (KIP-496).</summary>
    ValueTask<OffsetDeleteResult> DeleteOffsetsAsync(OffsetDelete request, CancellationToken cancellationToken = default);

    /// <summary>All groups of the cluster, by id in ordinal order.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.CoordinatorNotAvailable"/>: retry.</exception>
    ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken = default);

    /// <summary>A group and its members.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.GroupIdNotFound"/>, <see cref="ErrorCode.InvalidGroupId"/>;
    /// <see cref="ErrorCode.CoordinatorNotAvailable"/>: retry.</exception>
    ValueTask<GroupDescription> DescribeGroupAsync(string groupId, CancellationToken cancellationToken = default);

    /// <summary>Deletes a group that has no members, with its offsets.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.GroupIdNotFound"/>, <see cref="ErrorCode.NonEmptyGroup"/>,
    /// <see cref="ErrorCode.InvalidGroupId"/>; <see cref="ErrorCode.CoordinatorNotAvailable"/>: retry.</exception>
    ValueTask DeleteGroupAsync(string groupId, CancellationToken cancellationToken = default);
}
