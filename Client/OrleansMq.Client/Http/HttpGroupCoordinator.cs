using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>Consumer groups over HTTP. <see cref="GroupRoutes"/> contains the route of each request.</summary>
internal sealed class HttpGroupCoordinator(HttpBroker broker) : IGroupCoordinator
{
    /// <inheritdoc/>
    public ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken) =>
        GroupRoutes.For(request).SendAsync(broker, request, cancellationToken);

    /// <inheritdoc/>
    public async ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken) =>
        (await broker.AskAsync(HttpMethod.Get, GroupRoutes.PathOf(groupId) + "/coordinator", null, GroupJson.Default.CoordinatorAnswer,
            cancellationToken).ConfigureAwait(false)).BrokerId;

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken) =>
        broker.AskAsync(HttpMethod.Get, GroupRoutes.Root, null, GroupJson.Default.IReadOnlyListGroupListing, cancellationToken);
}
