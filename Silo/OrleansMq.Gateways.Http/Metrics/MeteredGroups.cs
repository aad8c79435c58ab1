using System.Diagnostics;
using OrleansMq.Api;

namespace OrleansMq.Gateways.Http.Metrics;

/// <summary>Times commits that go to the coordinators of groups through a broker, whichever gateway they come from.</summary>
internal sealed class MeteredGroups(IBroker inner, GroupTraffic traffic, GroupMetrics metrics) : IGroupCoordinator
{
    /// <inheritdoc/>
    public async ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken)
    {
        var started = Stopwatch.GetTimestamp();
        var result = await inner.Groups.SendAsync(request, cancellationToken);
        if (result is OffsetCommitResult { Partitions.Count: > 0 } commit)
            traffic.Committed(commit.Partitions.Any(static partition => partition.Error == ErrorCode.None),
                Stopwatch.GetElapsedTime(started));
        else if (request is DeleteGroup && result is GroupReply { Error: ErrorCode.None })
            metrics.Forget(request.GroupId);
        return result;
    }

    /// <inheritdoc/>
    public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken) =>
        inner.Groups.FindCoordinatorAsync(groupId, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken) =>
        inner.Groups.ListGroupsAsync(cancellationToken);
}
