using System.Diagnostics.CodeAnalysis;
using OrleansMq.Api;

namespace OrleansMq.Groups.Coordination;

public sealed partial class GroupCoordinators
{
    /// <inheritdoc/>
    public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default) =>
        GroupId.FindProblem(groupId) is { } problem
            ? ValueTask.FromException<int>(new BrokerException(ErrorCode.InvalidGroupId, problem))
            : new(_brokerId);

    /// <inheritdoc/>
    public ValueTask<JoinGroupResult> JoinGroupAsync(JoinGroup request, CancellationToken cancellationToken = default) =>
        UseAsync(request.GroupId, coordinator => coordinator.JoinGroupAsync(request, cancellationToken), Refusal<JoinGroupResult>(request),
            cancellationToken);

    /// <inheritdoc/>
    public ValueTask<SyncGroupResult> SyncGroupAsync(SyncGroup request, CancellationToken cancellationToken = default) =>
        UseAsync(request.GroupId, coordinator => coordinator.SyncGroupAsync(request, cancellationToken), Refusal<SyncGroupResult>(request),
            cancellationToken);

    /// <inheritdoc/>
    public ValueTask<GroupReply> HeartbeatAsync(Heartbeat request, CancellationToken cancellationToken = default) =>
        UseAsync(request.GroupId, coordinator => coordinator.HeartbeatAsync(request, cancellationToken), Refusal<GroupReply>(request),
            cancellationToken);

    /// <inheritdoc/>
    public ValueTask<LeaveGroupResult> LeaveGroupAsync(LeaveGroup request, CancellationToken cancellationToken = default) =>
        UseAsync(request.GroupId, coordinator => coordinator.LeaveGroupAsync(request, cancellationToken),
            Refusal<LeaveGroupResult>(request), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<ConsumerGroupHeartbeatResult> ConsumerGroupHeartbeatAsync(ConsumerGroupHeartbeat request,
        CancellationToken cancellationToken = default) =>
        UseAsync(request.GroupId, coordinator => coordinator.ConsumerGroupHeartbeatAsync(request, cancellationToken),
            Refusal<ConsumerGroupHeartbeatResult>(request), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<OffsetCommitResult> CommitOffsetsAsync(OffsetCommit request, CancellationToken cancellationToken = default) =>
        UseAsync(request.GroupId, coordinator => coordinator.CommitOffsetsAsync(request, cancellationToken),
            Refusal<OffsetCommitResult>(request), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<OffsetFetchResult> FetchOffsetsAsync(OffsetFetch request, CancellationToken cancellationToken = default) =>
        UseAsync(request.GroupId, coordinator => coordinator.FetchOffsetsAsync(request, cancellationToken),
            Refusal<OffsetFetchResult>(request), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<OffsetDeleteResult> DeleteOffsetsAsync(OffsetDelete request, CancellationToken cancellationToken = default) =>
        UseAsync(request.GroupId, coordinator => coordinator.DeleteOffsetsAsync(request, cancellationToken),
            Refusal<OffsetDeleteResult>(request), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<GroupDescription> DescribeGroupAsync(string groupId, CancellationToken cancellationToken = default) =>
        UseAsync(groupId, coordinator => coordinator.DescribeAsync(cancellationToken), Throw<GroupDescription>, cancellationToken);

    /// <inheritdoc/>
    public async ValueTask DeleteGroupAsync(string groupId, CancellationToken cancellationToken = default) =>
        await UseAsync(groupId, async coordinator =>
        {
            await coordinator.DeleteAsync(cancellationToken).ConfigureAwait(false);
            return true;
        }, Throw<bool>, cancellationToken).ConfigureAwait(false);

    private static Func<ErrorCode, string, T> Refusal<T>(object request) =>
        (error, message) => (T)GroupRefusals.Refuse(request, error, message);

    [DoesNotReturn]
    private static T Throw<T>(ErrorCode error, string message) => throw new BrokerException(error, message);
}
