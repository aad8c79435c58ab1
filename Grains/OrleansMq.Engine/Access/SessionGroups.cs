using System.Diagnostics;
using OrleansMq.Api;

namespace OrleansMq.Access;

/// <summary>Consumer groups as one session may use them; commits are counted and timed. Thread safe.</summary>
internal sealed class SessionGroups(BrokerAccess access, SessionAccess session) : IGroupCoordinator
{
    /// <inheritdoc/>
    public async ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken = default)
    {
        if (session.Refuses(request, request.GroupId) is { } refusal)
            return request.Answer(refusal);
        if (await session.RefusesAsync(request, request.GroupId, cancellationToken).ConfigureAwait(false) is { } unverified)
            return request.Answer(unverified);
        var topics = new GroupTopics(session);
        var sent = topics.Narrow(request);
        var started = Stopwatch.GetTimestamp();
        var result = await access.Broker.Groups.SendAsync((IGroupRequest<TResult>)sent, cancellationToken).ConfigureAwait(false);
        access.Count(sent, result!, Stopwatch.GetElapsedTime(started));
        return request.Answer(topics.Complete(request, sent, result!));
    }

    /// <inheritdoc/>
    public async ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.Describe, ResourceType.Group, groupId);
        return await access.Broker.Groups.FindCoordinatorAsync(groupId, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    /// <remarks>Groups that the session may not describe are left out.</remarks>
    public async ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken = default)
    {
        var all = await access.Broker.Groups.ListGroupsAsync(cancellationToken).ConfigureAwait(false);
        return all.All(MayDescribe) ? all : [.. all.Where(MayDescribe)];

        bool MayDescribe(GroupListing group) => session.Allows(AccessOperation.Describe, ResourceType.Group, group.GroupId);
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<string>> ListConfiguredAsync(CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.DescribeConfigs, ResourceType.Cluster);
        return await access.Broker.Groups.ListConfiguredAsync(cancellationToken).ConfigureAwait(false);
    }
}
