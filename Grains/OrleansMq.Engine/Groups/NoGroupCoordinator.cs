using OrleansMq.Api;

namespace OrleansMq.Groups;

/// <summary>A broker that coordinates no groups: every request is refused.</summary>
public sealed class NoGroupCoordinator : IGroupCoordinator
{
    private const string Message = "This broker coordinates no consumer groups.";

    private NoGroupCoordinator() { }

    /// <summary>The one there is.</summary>
    public static NoGroupCoordinator Instance { get; } = new();

    /// <inheritdoc/>
    public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken) => Refuse<int>();

    /// <inheritdoc/>
    public ValueTask<JoinGroupResult> JoinGroupAsync(JoinGroup request, CancellationToken cancellationToken) =>
        new(JoinGroupResult.Failed(ErrorCode.CoordinatorNotAvailable, Message));

    /// <inheritdoc/>
    public ValueTask<SyncGroupResult> SyncGroupAsync(SyncGroup request, CancellationToken cancellationToken) =>
        new(new SyncGroupResult(ErrorCode.CoordinatorNotAvailable, Message));

    /// <inheritdoc/>
    public ValueTask<GroupReply> HeartbeatAsync(Heartbeat request, CancellationToken cancellationToken) =>
        new(new GroupReply(ErrorCode.CoordinatorNotAvailable, Message));

    /// <inheritdoc/>
    public ValueTask<LeaveGroupResult> LeaveGroupAsync(LeaveGroup request, CancellationToken cancellationToken) =>
        new(new LeaveGroupResult(ErrorCode.CoordinatorNotAvailable, [], Message));

    /// <inheritdoc/>
    public ValueTask<ConsumerGroupHeartbeatResult> ConsumerGroupHeartbeatAsync(ConsumerGroupHeartbeat request,
        CancellationToken cancellationToken) =>
        new(ConsumerGroupHeartbeatResult.Failed(ErrorCode.CoordinatorNotAvailable, Message));

    /// <inheritdoc/>
    public ValueTask<OffsetCommitResult> CommitOffsetsAsync(OffsetCommit request, CancellationToken cancellationToken) =>
        new(new OffsetCommitResult(
            [.. request.Offsets.Select(offset => new PartitionError(offset.Topic, offset.Partition, ErrorCode.CoordinatorNotAvailable,
                offset.TopicId))], Message));

    /// <inheritdoc/>
    public ValueTask<OffsetFetchResult> FetchOffsetsAsync(OffsetFetch request, CancellationToken cancellationToken) =>
        new(new OffsetFetchResult(ErrorCode.CoordinatorNotAvailable, [], Message));

    /// <inheritdoc/>
    public ValueTask<OffsetDeleteResult> DeleteOffsetsAsync(OffsetDelete request, CancellationToken cancellationToken) =>
        new(new OffsetDeleteResult(ErrorCode.CoordinatorNotAvailable, [], Message));

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken) =>
        Refuse<IReadOnlyList<GroupListing>>();

    /// <inheritdoc/>
    public ValueTask<GroupDescription> DescribeGroupAsync(string groupId, CancellationToken cancellationToken) =>
        Refuse<GroupDescription>();

    /// <inheritdoc/>
    public ValueTask DeleteGroupAsync(string groupId, CancellationToken cancellationToken) => ValueTask.FromException(Refusal());

    private static ValueTask<T> Refuse<T>() => ValueTask.FromException<T>(Refusal());

    private static BrokerException Refusal() => new(ErrorCode.CoordinatorNotAvailable, Message);
}
