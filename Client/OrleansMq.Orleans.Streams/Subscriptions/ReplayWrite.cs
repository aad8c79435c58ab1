namespace OrleansMq.Streams;

/// <summary>
/// The write of a further replay's record, which is tried until its outcome is known. A try after one whose outcome is unknown first waits
/// until the earlier one is in the topic or never will be, and writes again only where it is not: the record is in the topic once, since
/// compaction would move one that comes twice behind others of its generation. Thread-safe.
/// </summary>
/// <param name="log">The topic of subscriptions.</param>
/// <param name="of">The subscription.</param>
/// <param name="queue">The id of the shared cursor that it leaves.</param>
/// <param name="replay">The replay.</param>
/// <param name="partition">The partition; null: that of the subscription.</param>
internal sealed class ReplayWrite(SubscriptionLog log, SubscriptionKey of, Guid queue, Replay replay, int? partition = null)
{
    private readonly SemaphoreSlim _turn = new(1);
    private bool _mayBeWritten;
    private bool _isAbandoned;

    /// <summary>The replay.</summary>
    public Replay Replay => replay;

    /// <summary>The id of the shared cursor that the subscription leaves.</summary>
    public Guid Queue => queue;

    /// <summary>Writes the record unless the topic has it, or it is abandoned. When it completes, the table says whether the replay is in
    /// force.</summary>
    /// <exception cref="OrleansMqException">It is not written, or that is not known: try again.</exception>
    public async Task TryAsync(CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_isAbandoned || await FindOutAsync(cancellationToken).ConfigureAwait(false))
                return;
            _mayBeWritten = true;
            await log.WriteAsync(new NextReplayKey(replay.Id, of), new NextReplayValue(queue, replay, partition), cancellationToken)
                .ConfigureAwait(false);
            await log.CatchUpAsync(cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Abandons the record, which then never is in the topic. False: it is there.</summary>
    /// <exception cref="OrleansMqException">That is not known now.</exception>
    public async Task<bool> TryAbandonAsync(CancellationToken cancellationToken)
    {
        await _turn.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            return _isAbandoned = !await FindOutAsync(cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
    }

    // In its turn: no try is under way, and the failed ones come before the record that settles them.
    private async Task<bool> FindOutAsync(CancellationToken cancellationToken)
    {
        if (!_mayBeWritten)
            return false;
        await log.SettleAsync(cancellationToken).ConfigureAwait(false);
        await log.CatchUpAsync(cancellationToken).ConfigureAwait(false);
        return _mayBeWritten = log.Table.HasRecord(replay.Id);
    }
}
