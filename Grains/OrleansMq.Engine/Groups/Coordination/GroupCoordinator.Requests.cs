using OrleansMq.Api;

namespace OrleansMq.Groups.Coordination;

public sealed partial class GroupCoordinator
{
    /// <inheritdoc cref="IGroupCoordinator.JoinGroupAsync"/>
    public ValueTask<JoinGroupResult> JoinGroupAsync(JoinGroup request, CancellationToken cancellationToken = default) =>
        AskAsync<JoinGroupResult>(request, cancellationToken);

    /// <inheritdoc cref="IGroupCoordinator.SyncGroupAsync"/>
    public ValueTask<SyncGroupResult> SyncGroupAsync(SyncGroup request, CancellationToken cancellationToken = default) =>
        AskAsync<SyncGroupResult>(request, cancellationToken);

    /// <inheritdoc cref="IGroupCoordinator.HeartbeatAsync"/>
    public ValueTask<GroupReply> HeartbeatAsync(Heartbeat request, CancellationToken cancellationToken = default) =>
        AskAsync<GroupReply>(request, cancellationToken);

    /// <inheritdoc cref="IGroupCoordinator.LeaveGroupAsync"/>
    public ValueTask<LeaveGroupResult> LeaveGroupAsync(LeaveGroup request, CancellationToken cancellationToken = default) =>
        AskAsync<LeaveGroupResult>(request, cancellationToken);

    /// <inheritdoc cref="IGroupCoordinator.ConsumerGroupHeartbeatAsync"/>
    public ValueTask<ConsumerGroupHeartbeatResult> ConsumerGroupHeartbeatAsync(ConsumerGroupHeartbeat request,
        CancellationToken cancellationToken = default) =>
        AskAsync<ConsumerGroupHeartbeatResult>(request, cancellationToken);

    /// <inheritdoc cref="IGroupCoordinator.CommitOffsetsAsync"/>
    public ValueTask<OffsetCommitResult> CommitOffsetsAsync(OffsetCommit request, CancellationToken cancellationToken = default) =>
        AskAsync<OffsetCommitResult>(request, cancellationToken);

    /// <inheritdoc cref="IGroupCoordinator.FetchOffsetsAsync"/>
    public ValueTask<OffsetFetchResult> FetchOffsetsAsync(OffsetFetch request, CancellationToken cancellationToken = default) =>
        AskAsync<OffsetFetchResult>(request, cancellationToken);

    /// <inheritdoc cref="IGroupCoordinator.DeleteOffsetsAsync"/>
    public ValueTask<OffsetDeleteResult> DeleteOffsetsAsync(OffsetDelete request, CancellationToken cancellationToken = default) =>
        AskAsync<OffsetDeleteResult>(request, cancellationToken);

    /// <summary>The group and its members.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.GroupIdNotFound"/>; <see cref="ErrorCode.CoordinatorNotAvailable"/>,
    /// <see cref="ErrorCode.CoordinatorLoadInProgress"/>, <see cref="ErrorCode.NotCoordinator"/>: retry.</exception>
    public ValueTask<GroupDescription> DescribeAsync(CancellationToken cancellationToken = default) =>
        AskAsync<GroupDescription>(new DescribeGroup(), cancellationToken);

    /// <summary>The group in a list; null where there is none.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.CoordinatorNotAvailable"/>,
    /// <see cref="ErrorCode.CoordinatorLoadInProgress"/>, <see cref="ErrorCode.NotCoordinator"/>: retry.</exception>
    public async ValueTask<GroupListing?> ListAsync(CancellationToken cancellationToken = default)
    {
        var answer = await AskAsync<object>(new ListGroup(), cancellationToken).ConfigureAwait(false);
        return answer is GroupReply { Error: ErrorCode.GroupIdNotFound } ? null : Answer<GroupListing>(answer);
    }

    /// <summary>Deletes the group with its offsets.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.GroupIdNotFound"/>, <see cref="ErrorCode.NonEmptyGroup"/>;
    /// <see cref="ErrorCode.CoordinatorNotAvailable"/>, <see cref="ErrorCode.CoordinatorLoadInProgress"/>,
    /// <see cref="ErrorCode.NotCoordinator"/>: retry.</exception>
    public async ValueTask DeleteAsync(CancellationToken cancellationToken = default)
    {
        var reply = await AskAsync<GroupReply>(new DeleteGroup(), cancellationToken).ConfigureAwait(false);
        if (reply.Error != ErrorCode.None)
            throw new BrokerException(reply.Error, reply.Message ?? reply.Error.ToString());
    }
}
