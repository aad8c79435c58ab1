namespace OrleansMq.Api;

/// <summary>The requests to groups as methods. Each is one call of <see cref="IGroupCoordinator.SendAsync"/>.</summary>
public static class GroupRequests
{
    /// <summary>Classic: joins the next generation. Completes when all members have joined, at the latest after the longest rebalance
    /// timeout among them. A caller that stops waiting remains a member until its session times out.</summary>
    public static ValueTask<JoinGroupResult> JoinGroupAsync(this IGroupCoordinator groups, JoinGroup request,
        CancellationToken cancellationToken = default) => groups.SendAsync(request, cancellationToken);

    /// <summary>Classic: fetches the caller's assignment in the joined generation. The leader's request carries all assignments; the others
    /// complete once it has arrived.</summary>
    public static ValueTask<SyncGroupResult> SyncGroupAsync(this IGroupCoordinator groups, SyncGroup request,
        CancellationToken cancellationToken = default) => groups.SendAsync(request, cancellationToken);

    /// <summary>Classic: keeps a member's session alive. <see cref="ErrorCode.RebalanceInProgress"/>: rejoin.</summary>
    public static ValueTask<GroupReply> HeartbeatAsync(this IGroupCoordinator groups, Heartbeat request,
        CancellationToken cancellationToken = default) => groups.SendAsync(request, cancellationToken);

    /// <summary>Classic: removes members by member id, or static members by instance id, as an operator may do.</summary>
    public static ValueTask<LeaveGroupResult> LeaveGroupAsync(this IGroupCoordinator groups, LeaveGroup request,
        CancellationToken cancellationToken = default) => groups.SendAsync(request, cancellationToken);

    /// <summary>Consumer protocol: joins, keeps the session alive, reports owned partitions, fetches the assignment, and leaves.</summary>
    public static ValueTask<ConsumerGroupHeartbeatResult> ConsumerGroupHeartbeatAsync(this IGroupCoordinator groups,
        ConsumerGroupHeartbeat request, CancellationToken cancellationToken = default) => groups.SendAsync(request, cancellationToken);

    /// <summary>Share group: joins, keeps the session alive, fetches the assignment, and leaves.</summary>
    public static ValueTask<ShareGroupHeartbeatResult> ShareGroupHeartbeatAsync(this IGroupCoordinator groups, ShareGroupHeartbeat request,
        CancellationToken cancellationToken = default) => groups.SendAsync(request, cancellationToken);

    /// <summary>Commits offsets. Completes when they are stored. An error of the whole request is reported for every partition.</summary>
    public static ValueTask<OffsetCommitResult> CommitOffsetsAsync(this IGroupCoordinator groups, OffsetCommit request,
        CancellationToken cancellationToken = default) => groups.SendAsync(request, cancellationToken);

    /// <summary>Fetches committed offsets.</summary>
    public static ValueTask<OffsetFetchResult> FetchOffsetsAsync(this IGroupCoordinator groups, OffsetFetch request,
        CancellationToken cancellationToken = default) => groups.SendAsync(request, cancellationToken);

    /// <summary>Deletes the offsets of partitions that no member subscribes to (KIP-496).</summary>
    public static ValueTask<OffsetDeleteResult> DeleteOffsetsAsync(this IGroupCoordinator groups, OffsetDelete request,
        CancellationToken cancellationToken = default) => groups.SendAsync(request, cancellationToken);

    /// <summary>Describes a group and its members.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.GroupIdNotFound"/>, <see cref="ErrorCode.InvalidGroupId"/>;
    /// <see cref="ErrorCode.CoordinatorNotAvailable"/>: retry.</exception>
    public static ValueTask<GroupDescription> DescribeGroupAsync(this IGroupCoordinator groups, string groupId,
        CancellationToken cancellationToken = default) => groups.SendAsync(new DescribeGroup(groupId), cancellationToken);

    /// <summary>Deletes a group that has no members, and its offsets.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.GroupIdNotFound"/>, <see cref="ErrorCode.NonEmptyGroup"/>,
    /// <see cref="ErrorCode.InvalidGroupId"/>; <see cref="ErrorCode.CoordinatorNotAvailable"/>: retry.</exception>
    public static async ValueTask DeleteGroupAsync(this IGroupCoordinator groups, string groupId,
        CancellationToken cancellationToken = default)
    {
        var reply = await groups.SendAsync(new DeleteGroup(groupId), cancellationToken).ConfigureAwait(false);
        if (reply.Error != ErrorCode.None)
            throw reply.ToException();
    }
}
