using System.Runtime.CompilerServices;

namespace OrleansMq.Coordination;

/// <summary>An answer that waits until what it reveals is stored.</summary>
/// <param name="request">The request.</param>
/// <param name="result">The answer.</param>
/// <param name="waiter">The participant that waits for it; empty for none.</param>
/// <param name="confirmation">The read or write of the store that must confirm the claim first; 0 for none.</param>
/// <param name="versions">The version of each document that must be stored.</param>
internal sealed class HeldAnswer(CoordinatorRequest request, object result, string waiter, long confirmation, in VersionSet versions)
{
    private readonly VersionSet _versions = versions;

    public CoordinatorRequest Request => request;

    public object Result => result;

    public string Waiter => waiter;

    public long Confirmation => confirmation;

    /// <summary>The version of a document that must be stored.</summary>
    public long VersionOf(int document) => _versions[document];
}

/// <summary>A version of each document.</summary>
[InlineArray(CoordinatorKind.MaxDocuments)]
internal struct VersionSet
{
    private long _first;
}

/// <summary>The answers that wait, in the order in which they came.</summary>
internal sealed class HeldAnswers
{
    private readonly List<HeldAnswer> _held = [];
    // Answers before this one were looked at since the last store or confirmation, and wait on.
    private int _lookedAt;

    public int Count => _held.Count;

    /// <summary>The participants that wait.</summary>
    public IEnumerable<string> Waiters => _held.Select(static held => held.Waiter);

    public void Add(HeldAnswer answer) => _held.Add(answer);

    /// <summary>Something was stored or confirmed: every answer is to be looked at again.</summary>
    public void LookAgain() => _lookedAt = 0;

    /// <summary>Removes the answers that may be released, and releases each.</summary>
    public void Release(Predicate<HeldAnswer> mayBeReleased, Action<HeldAnswer> release)
    {
        var kept = _lookedAt;
        for (var at = _lookedAt; at < _held.Count; at++)
        {
            var held = _held[at];
            if (mayBeReleased(held))
                release(held);
            else
                _held[kept++] = held;
        }
        _held.RemoveRange(kept, _held.Count - kept);
        _lookedAt = kept;
    }

    /// <summary>Removes the answers that match, and hands each request over.</summary>
    public void Remove(Predicate<HeldAnswer> match, Action<HeldAnswer> removed)
    {
        foreach (var held in _held.Where(held => match(held)))
            removed(held);
        _held.RemoveAll(match);
        _lookedAt = 0;
    }
}
