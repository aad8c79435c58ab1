namespace OrleansMq.Coordination;

/// <summary>
/// Confirms that a coordinator still owns its documents, for answers that a caller acts on without a write. Another coordinator may own
/// them by now, and have stored what this one does not know. So such an answer waits for a read or write of the store that was begun after
/// the request had come, and that shows this coordinator's claim. That is a write that won its compare-and-swap, or, where none is on its
/// way, a read of the last document's claim. One read serves all requests that came before it was begun.
/// <para>The last document suffices. Another coordinator claims the documents in order, and answers only when all are its own: while the
/// last one is this coordinator's, no newer state was exposed.</para>
/// </summary>
internal sealed class ClaimConfirmation(CoordinatorRules rules)
{
    // Reads and writes of the store, numbered in the order in which they were begun.
    private long _begun;
    // The first that may answer the last request that waits.
    private long _wanted;
    private long _lastDelete;

    /// <summary>The latest operation that showed this coordinator's claim.</summary>
    public long Confirmed { get; private set; }

    /// <summary>Whether a read is in flight.</summary>
    public bool IsReading { get; private set; }

    /// <summary>Whether a request waits for an operation that was not begun yet.</summary>
    public bool IsWanted => _wanted > _begun;

    /// <summary>The operation that a request which comes now waits for.</summary>
    public long Next()
    {
        var first = rules.ConfirmedFrom(_begun);
        _wanted = Math.Max(_wanted, first);
        return first;
    }

    /// <summary>A write begins.</summary>
    /// <returns>Its number.</returns>
    public long BeginWrite(bool isDelete)
    {
        _begun++;
        if (isDelete)
            _lastDelete = _begun;
        return _begun;
    }

    /// <summary>A read of the claim begins.</summary>
    /// <returns>Its number.</returns>
    public long BeginRead()
    {
        IsReading = true;
        return ++_begun;
    }

    /// <summary>A read of the claim has ended.</summary>
    public void EndRead() => IsReading = false;

    /// <summary>An operation showed this coordinator's claim.</summary>
    public void Confirm(long number) => Confirmed = Math.Max(Confirmed, number);

    /// <summary>Whether this coordinator deleted the documents after an operation was begun.</summary>
    public bool HasDeletedSince(long number) => _lastDelete >= number;

    /// <summary>All requests were answered.</summary>
    public void Forget() => _wanted = 0;
}
