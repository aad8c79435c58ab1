namespace OrleansMq.Client;

/// <content>Reaction to failures: recovery, gaps in the sequence, and the start of a new epoch.</content>
internal sealed partial class SendQueue
{
    private void Retry(long retryAt)
    {
        _recovering = true;
        RetryAt = Math.Max(RetryAt, retryAt);
    }

    /// <summary>
    /// Handles a batch whose sequence number the broker does not expect. Behind a failed batch that only means "not yet". At the head of
    /// the queue it means that broker and producer disagree, so the producer starts a new epoch.
    /// </summary>
    private void OnOutOfStep(ProduceBatch batch, ErrorCode code, long retryAt)
    {
        _recovering = true;
        if (!batch.WasHead)
            return;
        var index = _batches.IndexOf(batch);
        if (batch.MayBeWritten || IsAcknowledgedAfter(index))
        {
            // An earlier batch, or an attempt of this one, may be in the log. Sending it again could duplicate or reorder it.
            Drop(batch);
        }
        else
        {
            RetryAt = Math.Max(RetryAt, retryAt);
            ResetFrom(index);
            _gapSequence = -1;
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

    /// <summary>Removes a batch that will not be delivered, and handles the gap that it leaves.</summary>
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
    /// Replaces a batch that the topic rejects as too large by its two halves. Its sequence numbers are lost, as for a dropped batch. If
    /// others follow it, the halves count as sent until all of them start over together.
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
            // The batch was certainly not appended, so the next one reuses its sequence numbers.
            _nextSequence = batch.BaseSequence;
            return;
        }
        _recovering = true;
        _isGapUnclear |= batch.WasUnanswered;
        if (_resetAt < 0 || index < _resetAt)
            _gapSequence = batch.BaseSequence;
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

    /// <summary>Resolves acknowledged batches from the oldest on, so that reports are in sending order.</summary>
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

    /// <summary>
    /// Whether the batches behind a gap can be sent again under the epoch that they had. The broker has refused each of them, so none
    /// is on its way: their sequence numbers are free.
    /// </summary>
    private bool MayKeepEpoch()
    {
        if (!keepsEpoch || _isGapUnclear || _gapSequence < 0)
            return false;
        for (var i = 0; i < _sent; i++)
        {
            if (_batches[i].IsAcknowledged || _batches[i].WasUnanswered)
                return false;
        }
        return true;
    }

    /// <summary>Starts the next epoch: sent batches that are certainly not written become unsent again, the others have failed.</summary>
    private void StartOver()
    {
        var isKept = MayKeepEpoch();
        _resetAt = -1;
        _recovering = _isGapUnclear = false;
        var lastAcknowledged = _sent - 1;
        while (lastAcknowledged >= 0 && !_batches[lastAcknowledged].IsAcknowledged)
            lastAcknowledged--;
        var kept = 0;
        for (var i = 0; i < _sent; i++)
        {
            var batch = _batches[i];
            // A resent batch must not follow a written one, in case a broker that forgot the producer has accepted the latter.
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
        if (isKept)
        {
            _nextSequence = _gapSequence;
            return;
        }
        _nextSequence = 0;
        _lastAcknowledged = null;
        if (_identity is { } identity)
            _identity = _identityRefused || identity.ProducerEpoch == short.MaxValue
                ? null : identity with { ProducerEpoch = (short)(identity.ProducerEpoch + 1) };
        _identityRefused |= _identity is null;
    }
}
