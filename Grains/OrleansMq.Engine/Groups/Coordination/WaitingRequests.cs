using OrleansMq.Coordination;

namespace OrleansMq.Groups.Coordination;

/// <summary>An answer to a request that has waited.</summary>
/// <param name="Request">The request.</param>
/// <param name="Result">The answer.</param>
/// <param name="MemberId">The member that waits for it.</param>
internal readonly record struct WaitingAnswer(CoordinatorRequest Request, object Result, string MemberId);

/// <summary>
/// Requests that wait for other members, at most one for each member. A request waits until it is answered, replaced by the member's next
/// one, failed together with all others, or abandoned by its caller.
/// </summary>
/// <typeparam name="TDetail">What is kept with each request to answer it.</typeparam>
internal sealed class WaitingRequests<TDetail>
{
    private readonly Dictionary<string, (CoordinatorRequest Request, TDetail Detail)> _waiting = new(StringComparer.Ordinal);

    /// <summary>The number of requests that wait.</summary>
    public int Count => _waiting.Count;

    /// <summary>The members that wait.</summary>
    public IEnumerable<string> MemberIds => _waiting.Keys;

    /// <summary>What is kept with each request.</summary>
    public IEnumerable<TDetail> Details => _waiting.Values.Select(static waiting => waiting.Detail);

    /// <summary>Whether a member waits.</summary>
    public bool Contains(string memberId) => _waiting.ContainsKey(memberId);

    /// <summary>Adds a member's request.</summary>
    /// <returns>The earlier request that it replaces, to be refused; null for none.</returns>
    public CoordinatorRequest? Add(string memberId, CoordinatorRequest request, TDetail detail)
    {
        var earlier = Remove(memberId);
        _waiting[memberId] = (request, detail);
        return earlier;
    }

    /// <summary>Removes and returns a member's request; null if it has none.</summary>
    public CoordinatorRequest? Remove(string memberId) => _waiting.Remove(memberId, out var waiting) ? waiting.Request : null;

    /// <summary>Removes the requests that can be answered.</summary>
    /// <param name="answer">Returns the answer to a member; null while it has to wait.</param>
    public List<WaitingAnswer> TakeAnswered(Func<string, TDetail, object?> answer)
    {
        var answered = new List<WaitingAnswer>();
        foreach (var (memberId, (request, detail)) in _waiting) // The enumeration of a dictionary permits to remove entries.
        {
            if (answer(memberId, detail) is not { } result)
                continue;
            _waiting.Remove(memberId);
            answered.Add(new WaitingAnswer(request, result, memberId));
        }
        return answered;
    }

    /// <summary>Removes all requests, to be refused.</summary>
    public IReadOnlyList<CoordinatorRequest> TakeAll()
    {
        IReadOnlyList<CoordinatorRequest> all = _waiting.Count == 0 ? [] : [.. _waiting.Values.Select(static waiting => waiting.Request)];
        _waiting.Clear();
        return all;
    }

    /// <summary>Removes a request that its caller no longer waits for.</summary>
    /// <returns>Its member; null if the request does not wait here.</returns>
    public string? Abandon(long requestId)
    {
        foreach (var (memberId, waiting) in _waiting)
        {
            if (waiting.Request.RequestId != requestId)
                continue;
            _waiting.Remove(memberId);
            return memberId;
        }
        return null;
    }
}
