namespace OrleansMq.Client;

/// <content>What happens after a failure: recovering, gaps in the sequence, and starting over under the next epoch.</content>
internal sealed partial class SendQueue
{
    private void Retry(long retryAt)
    {
        _recovering = true;
        RetryAt = Math.Max(RetryAt, retryAt);
    }

    /// <summary>
    /// The broker expects another sequence number. Behind a batch that failed that only means "not yet"; at the head it means that broker
    /// and producer no longer agree, and the producer starts over.
    /// </summary>
    private void OnOutOfStep(ProduceBatch batch, ErrorCode code, long retryAt)
    {
        _recovering = true;
        if (!batch.WasHead)
            return;
        var index = _batches.IndexOf(batch);
        if (batch.MayBeWritten || IsAcknowledgedAfter(index))
        {
            // One before it or one of its own attempts is in the log for all we know: sending it again could double or reorder it.
            Drop(batch);
        }
        else
        {
            RetryAt = Math.Max(RetryAt, retryAt);
            ResetFrom(index);
        }
        if (code != ErrorCode.OutOfOrderSequenceNumber)
            _identityRefused = true;
    }

    private bool IsAcknowledgedAfter(int index)
    {
        for (var i = index + 1; i < _sent; i++)
        {
            if (_batches[i].IsAcknowledged)
                return true;
        }
        return false;
    }

    /// <summary>Takes a batch out that will not be delivered, and sees to the gap it leaves.</summary>
    private void Drop(ProduceBatch batch)
    {
        var index = _batches.IndexOf(batch);
        if (index < _sent)
        {
            _sent--;
            if (idempotent)
                CloseGap(batch, index);
        }
        _batches.RemoveAt(index);
        if (_resetAt > index)
            _resetAt--;
        _resolved.Add(new Resolution(batch, Report: !batch.IsReported, Release: true));
        batch.IsReported = true;
        ResolveAcknowledged();
    }

    /// <summary>
    /// Puts the two halves of a batch that the topic finds too large in its place. Its sequence numbers are lost as those of a batch that
    /// was dropped; where others come after it, the halves count as sent until all start over together.
    /// </summary>
    private void Split(ProduceBatch batch)
    {
        var index = _batches.IndexOf(batch);
        var (first, second) = split(batch);
        _resolved.Add(new Resolution(batch, Report: false, Release: true));
        _sent--;
        if (idempotent)
            CloseGap(batch, index);
        _batches[index] = first;
        _batches.Insert(index + 1, second);
        if (_resetAt >= 0)
            _sent += 2;
        if (_resetAt > index)
            _resetAt++;
    }

    private void CloseGap(ProduceBatch batch, int index)
    {
        var isLast = index == _sent;
        if (isLast && !batch.MayBeWritten && _resetAt < 0)
        {
            // Nobody has seen the numbers of a batch that certainly was not appended: the next one takes them.
            _nextSequence = batch.BaseSequence;
            return;
        }
        _recovering = true;
        if (!batch.MayBeWritten)
        {
            for (var i = index + 1; i <= _sent; i++)
                MarkCannotBeWritten(_batches[i]);
        }
        ResetFrom(index);
    }

    private static void MarkCannotBeWritten(ProduceBatch batch)
    {
        batch.CannotBeWritten = true;
        batch.MayBeWritten = false;
    }

    private void ResetFrom(int index) => _resetAt = _resetAt < 0 ? index : Math.Min(_resetAt, index);

    /// <summary>Acknowledged batches are reported from the oldest on, so that reports come in the order of sending.</summary>
    private void ResolveAcknowledged()
    {
        while (_sent > 0 && _batches[0].IsAcknowledged)
        {
            var batch = _batches[0];
            _batches.RemoveAt(0);
            _sent--;
            if (_resetAt > 0)
                _resetAt--;
            _resolved.Add(new Resolution(batch, Report: !batch.IsReported, Release: true));
            batch.IsReported = true;
        }
    }

    /// <summary>The next epoch: what was sent and certainly is not written is unsent again, the rest has failed.</summary>
    private void StartOver()
    {
        _resetAt = -1;
        _recovering = false;
        var lastAcknowledged = _sent - 1;
        while (lastAcknowledged >= 0 && !_batches[lastAcknowledged].IsAcknowledged)
            lastAcknowledged--;
        var kept = 0;
        for (var i = 0; i < _sent; i++)
        {
            var batch = _batches[i];
            // One that is sent again must not get behind one that is written, should a broker that forgot the producer have taken that.
            if (batch.MayBeWritten || i <= lastAcknowledged)
            {
                _resolved.Add(new Resolution(batch, Report: !batch.IsReported, Release: true));
                batch.IsReported = true;
                continue;
            }
            batch.CannotBeWritten = false;
            batch.BaseSequence = -1;
            _batches[kept++] = batch;
        }
        _batches.RemoveRange(kept, _sent - kept);
        _sent = 0;
        _nextSequence = 0;
        _lastAcknowledged = null;
        if (_identity is { } identity)
            _identity = _identityRefused || identity.ProducerEpoch == short.MaxValue
                ? null : identity with { ProducerEpoch = (short)(identity.ProducerEpoch + 1) };
        _identityRefused |= _identity is null;
    }
}
