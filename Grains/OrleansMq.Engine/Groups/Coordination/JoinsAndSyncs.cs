using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups.Classic;

namespace OrleansMq.Groups.Coordination;

/// <summary>The requests of the classic protocol that wait: joins for the next generation, and syncs for the leader's
/// assignment.</summary>
/// <param name="rules">The decisions.</param>
internal sealed class JoinsAndSyncs(GroupRules rules)
{
    // Each request with the instance id of its member.
    private readonly WaitingRequests<string?> _joins = new();
    private readonly WaitingRequests<string?> _syncs = new();
    // The state for which answers were last sought: most commands do not change it.
    private ClassicGroupState? _answeredFor;

    /// <summary>Whether a member waits.</summary>
    public bool Contains(string memberId) => _joins.Contains(memberId) || _syncs.Contains(memberId);

    /// <summary>Adds a join.</summary>
    /// <returns>The member's earlier join, to be refused; null for none.</returns>
    public CoordinatorRequest? AddJoin(string memberId, CoordinatorRequest request, JoinGroup join) =>
        _joins.Add(memberId, request, join.GroupInstanceId);

    /// <summary>Adds a sync.</summary>
    /// <returns>The member's earlier sync, to be refused; null for none.</returns>
    public CoordinatorRequest? AddSync(string memberId, CoordinatorRequest request, SyncGroup sync) =>
        _syncs.Add(memberId, request, sync.GroupInstanceId);

    /// <summary>Removes the requests that the group's state answers.</summary>
    public IReadOnlyList<WaitingAnswer> TakeAnswered(ClassicGroup group)
    {
        if (ReferenceEquals(group.State, _answeredFor))
            return [];
        // While members only join, all earlier joins continue to wait. Without this check, each of thousands of joins would look at all of
        // them.
        var onlyGrows = _answeredFor is { State: GroupState.PreparingRebalance } before
            && group.State.State == GroupState.PreparingRebalance
            && group.State.Members.Count > before.Members.Count;
        _answeredFor = group.State;
        var joins = onlyGrows ? [] : _joins.TakeAnswered((memberId, instanceId) => rules.AnswerJoin(group, memberId, instanceId));
        return [.. joins, .. _syncs.TakeAnswered((memberId, instanceId) => rules.AnswerSync(group, memberId, instanceId))];
    }

    /// <summary>Removes all requests, to be refused.</summary>
    public IReadOnlyList<CoordinatorRequest> TakeAll()
    {
        var (joins, syncs) = (_joins.TakeAll(), _syncs.TakeAll());
        return syncs.Count == 0 ? joins : [.. joins, .. syncs];
    }

    /// <summary>Removes a request that its caller no longer waits for.</summary>
    /// <returns>Its member; null if the request does not wait here.</returns>
    public string? Abandon(long requestId) => _joins.Abandon(requestId) ?? _syncs.Abandon(requestId);
}
