using System.Diagnostics;
using OrleansMq.Api;

namespace OrleansMq.Silo.Metrics;

/// <summary>Times what goes to the coordinators of groups through a broker, whichever gateway it comes from.</summary>
internal sealed class MeteredGroups(IBroker inner, GroupTraffic traffic, GroupMetrics metrics) : IGroupCoordinator
{
    /// <inheritdoc/>
    public async ValueTask<OffsetCommitResult> CommitOffsetsAsync(OffsetCommit request, CancellationToken cancellationToken)
    {
        var started = Stopwatch.GetTimestamp();
        var result = await inner.Groups.CommitOffsetsAsync(request, cancellationToken);
        if (result.Partitions.Count > 0)
            traffic.Committed(result.Partitions.Any(static partition => partition.Error == ErrorCode.None),
                Stopwatch.GetElapsedTime(started));
        return result;
    }

    /// <inheritdoc/>
    public async ValueTask DeleteGroupAsync(string groupId, CancellationToken cancellationToken)
    {
        await inner.Groups.DeleteGroupAsync(groupId, cancellationToken);
        metrics.Forget(groupId);
    }

    /// <inheritdoc/>
    public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken) =>
        inner.Groups.FindCoordinatorAsync(groupId, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<JoinGroupResult> JoinGroupAsync(JoinGroup request, CancellationToken cancellationToken) =>
        inner.Groups.JoinGroupAsync(request, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<SyncGroupResult> SyncGroupAsync(SyncGroup request, CancellationToken cancellationToken) =>
        inner.Groups.SyncGroupAsync(request, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<GroupReply> HeartbeatAsync(Heartbeat request, CancellationToken cancellationToken) =>
        inner.Groups.HeartbeatAsync(request, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<LeaveGroupResult> LeaveGroupAsync(LeaveGroup request, CancellationToken cancellationToken) =>
        inner.Groups.LeaveGroupAsync(request, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<ConsumerGroupHeartbeatResult> ConsumerGroupHeartbeatAsync(ConsumerGroupHeartbeat request,
        CancellationToken cancellationToken) =>
        inner.Groups.ConsumerGroupHeartbeatAsync(request, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<OffsetFetchResult> FetchOffsetsAsync(OffsetFetch request, CancellationToken cancellationToken) =>
        inner.Groups.FetchOffsetsAsync(request, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<OffsetDeleteResult> DeleteOffsetsAsync(OffsetDelete request, CancellationToken cancellationToken) =>
        inner.Groups.DeleteOffsetsAsync(request, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken) =>
        inner.Groups.ListGroupsAsync(cancellationToken);

    /// <inheritdoc/>
    public ValueTask<GroupDescription> DescribeGroupAsync(string groupId, CancellationToken cancellationToken) =>
        inner.Groups.DescribeGroupAsync(groupId, cancellationToken);
}
