using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Diagnostics;
using OrleansMq.Groups.Consumer;

namespace OrleansMq.Groups.Coordination;

/// <summary>The heartbeats of the consumer protocol that wait for news. Without news a heartbeat is answered when its wait ends.</summary>
/// <param name="options">Bounds the wait by the heartbeat interval.</param>
internal sealed class LongPolls(GroupOptions options)
{
    private readonly WaitingRequests<Poll> _polls = new();
    // The state for which news was last sought: most commands do not change it.
    private ConsumerGroupState? _advancedTo;

    /// <summary>The number of members that wait.</summary>
    public int Count => _polls.Count;

    /// <summary>The members that wait.</summary>
    public IEnumerable<string> MemberIds => _polls.MemberIds;

    /// <summary>When the first wait ends; null for none.</summary>
    public DateTimeOffset? NextEnd => _polls.Count == 0 ? null : _polls.Details.Min(static poll => poll.Until);

    /// <summary>Whether a member waits.</summary>
    public bool Contains(string memberId) => _polls.Contains(memberId);

    /// <summary>Whether the group's state has changed since news was last sought, and a member waits for news.</summary>
    public bool MayHaveNews(ConsumerGroup group) => _polls.Count > 0 && !ReferenceEquals(group.State, _advancedTo);

    /// <summary>Adds a heartbeat of a member without another one.</summary>
    /// <param name="memberId">The member.</param>
    /// <param name="request">The request.</param>
    /// <param name="heartbeat">Its body.</param>
    /// <param name="group">The group: the member knows its own state in it.</param>
    /// <param name="now">The current time.</param>
    /// <returns>When the wait ends.</returns>
    public DateTimeOffset Add(string memberId, CoordinatorRequest request, ConsumerGroupHeartbeat heartbeat, ConsumerGroup group,
        DateTimeOffset now)
    {
        var wait = heartbeat.MaxWait < options.ConsumerHeartbeatInterval ? heartbeat.MaxWait : options.ConsumerHeartbeatInterval;
        var poll = new Poll(heartbeat, ConsumerGroupDecision.Told(group, memberId)!, now + wait);
        Invariant.Check(_polls.Add(memberId, request, poll) is null, "a member waits with one long poll");
        return poll.Until;
    }

    /// <summary>Removes and returns a member's heartbeat; null if it has none.</summary>
    public CoordinatorRequest? Remove(string memberId) => _polls.Remove(memberId);

    /// <summary>Removes the heartbeats of members that have news.</summary>
    public IReadOnlyList<WaitingAnswer> TakeNews(ConsumerGroup group)
    {
        _advancedTo = group.State;
        return _polls.TakeAnswered((memberId, poll) => ConsumerGroupDecision.AnswerHeartbeat(group, memberId, poll.Told, options));
    }

    /// <summary>Removes the heartbeats whose wait has ended.</summary>
    public IReadOnlyList<WaitingAnswer> TakeEnded(ConsumerGroup group, DateTimeOffset now) =>
        _polls.TakeAnswered((memberId, poll) => poll.Until > now ? null
            : ConsumerGroupDecision.AnswerNoNews(group, poll.Heartbeat, memberId, options));

    /// <summary>Removes all heartbeats, to be refused.</summary>
    public IReadOnlyList<CoordinatorRequest> TakeAll() => _polls.TakeAll();

    /// <summary>Removes a heartbeat that its caller no longer waits for.</summary>
    /// <returns>Its member; null if the request does not wait here.</returns>
    public string? Abandon(long requestId) => _polls.Abandon(requestId);

    private sealed record Poll(ConsumerGroupHeartbeat Heartbeat, ToldAssignment Told, DateTimeOffset Until);
}
