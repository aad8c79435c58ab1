using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>The next action for a <see cref="SendQueue"/>.</summary>
internal enum SendStep
{
    /// <summary>Wait for an event.</summary>
    Wait = 0,
    /// <summary>Wait until <see cref="SendQueue.RetryAt"/>.</summary>
    Backoff = 1,
    /// <summary>Hand the batch to the broker.</summary>
    Send = 2,
    /// <summary>Get the producer id that all partitions share.</summary>
    GetIdentity = 3,
    /// <summary>Get a new producer id: the broker rejects the current one.</summary>
    GetNewIdentity = 4,
}

/// <summary>A batch to report to its recipients, to release, or both.</summary>
/// <param name="Batch">The batch.</param>
/// <param name="Report">Whether its recipients must be notified of its <see cref="ProduceBatch.Result"/>.</param>
/// <param name="Release">Whether its memory is free.</param>
internal readonly record struct Resolution(ProduceBatch Batch, bool Report, bool Release);

/// <summary>
/// The closed batches of one partition: decides which is sent next, what a response means, and when a batch has failed. Decisions only: no
/// I/O, no clock, no lock (the caller holds one).
/// <para>
/// <c>[ sent: sequence numbers assigned, unresolved | not sent yet ]</c>: one list, oldest first. Normally up to <c>maxInFlight</c> of the
/// sent batches are in flight. After any failure the queue <i>recovers</i>. It waits until all calls have ended, then sends one batch at a
/// time, oldest first, until every batch that was sent before is resolved. So no new batch follows one whose outcome is unknown.
/// </para>
/// <para>
/// Idempotence. A batch keeps its sequence number through all retries, so the broker recognises it. When a sent batch is dropped (rejected,
/// or past its deadline), there is a gap. The batches after it start over under the next producer epoch, from sequence 0, which also fences
/// calls of the old epoch that are still in flight. A batch is never sent under a second epoch if an earlier attempt may have been
/// appended: it fails as "may be written" instead. So no record is ever in the log twice.
/// </para>
/// <para>
/// A broker accepts any first sequence number of an unknown producer. Therefore the first batch of an epoch, and the first after a long
/// rest, is sent alone. With two in flight and the first rejected, the second would be accepted before it.
/// </para>
/// </summary>
/// <param name="idempotent">Whether batches carry producer id and sequence.</param>
/// <param name="retries">Whether retriable failures are retried (not with acks 0).</param>
/// <param name="maxInFlight">The maximum number of batches in flight; 1 without idempotence, to preserve their order.</param>
/// <param name="restAfter">The time without an acknowledgement after which the broker may have forgotten the producer.</param>
/// <param name="split">Splits a batch that is too large.</param>
/// <param name="keepsEpoch">Whether another epoch would be another transaction.</param>
internal sealed partial class SendQueue(bool idempotent, bool retries, int maxInFlight, long restAfter,
    Func<ProduceBatch, (ProduceBatch, ProduceBatch)> split, bool keepsEpoch = false)
{
    private readonly List<ProduceBatch> _batches = [];
    private readonly List<Resolution> _resolved = [];
    private int _sent;
    private ProducerIdentity? _identity;
    private bool _identityRefused;
    private int _nextSequence;
    private long? _lastAcknowledged;
    private bool _recovering;
    // The sequence number of the batch that left the first gap; -1 if broker and producer disagree otherwise.
    private int _gapSequence = -1;
    private bool _isGapUnclear;
    // From this index on, batches start over under another epoch once those before it are resolved; -1 for none.
    private int _resetAt = -1;

    /// <summary>The number of batches in flight.</summary>
    public int InFlight { get; private set; }
    /// <summary>The number of batches that were never sent.</summary>
    public int Unsent => _batches.Count - _sent;
    /// <summary>The number of batches in the queue.</summary>
    public int Count => _batches.Count;
    /// <summary>The time before which nothing is sent.</summary>
    public long RetryAt { get; private set; } = long.MinValue;
    /// <summary>The producer id and epoch in sent batches; null without idempotence.</summary>
    public ProducerIdentity? Identity => idempotent ? _identity : null;
    /// <summary>Whether the queue is empty, including batches in flight.</summary>
    public bool IsIdle => _batches.Count == 0;
    /// <summary>Whether the maximum number of batches is in flight, so that there is nothing to do before one returns.</summary>
    public bool IsSaturated => InFlight >= maxInFlight;

    /// <summary>Adds a batch at the end.</summary>
    public void Enqueue(ProduceBatch batch) => _batches.Add(batch);

    /// <summary>Sets the producer id.</summary>
    public void SetIdentity(ProducerIdentity identity)
    {
        _identity = identity;
        _identityRefused = false;
        _nextSequence = 0;
        _lastAcknowledged = null;
    }

    /// <summary>Returns the next action. With <see cref="SendStep.Send"/>, <paramref name="batch"/> counts as sent.</summary>
    public SendStep Next(long now, out ProduceBatch? batch)
    {
        batch = null;
        if (_resetAt == 0 && InFlight == 0)
            StartOver();
        if (_batches.Count == 0)
            return SendStep.Wait;
        if (idempotent && _identity is null)
            return _identityRefused ? SendStep.GetNewIdentity : SendStep.GetIdentity;
        if (_recovering && InFlight > 0)
            return SendStep.Wait;
        if (now < RetryAt)
            return SendStep.Backoff;
        _recovering &= _sent > 0;
        if (_recovering)
            batch = _batches[0];
        else if (InFlight < InFlightLimit(now) && _sent < _batches.Count)
            batch = TakeUnsent();
        if (batch is null)
            return SendStep.Wait;
        batch.WasHead = ReferenceEquals(batch, _batches[0]);
        batch.IsInFlight = true;
        batch.Attempts++;
        InFlight++;
        return SendStep.Send;
    }

    /// <summary>Applies a response.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="result">The response.</param>
    /// <param name="now">The current time.</param>
    /// <param name="retryAt">When to retry, if the response requires it.</param>
    public void OnResult(ProduceBatch batch, in ProduceResult result, long now, long retryAt)
    {
        batch.IsInFlight = false;
        InFlight--;
        var code = result.Error;
        if (code is ErrorCode.None or ErrorCode.DuplicateSequenceNumber)
        {
            // A duplicate so old that its offset is forgotten is delivered too.
            batch.Result = code == ErrorCode.None ? result : new ProduceResult(ErrorCode.None, -1);
            batch.IsAcknowledged = true;
            _lastAcknowledged = now;
            ResolveAcknowledged();
            return;
        }
        batch.Result = result;
        batch.WasUnanswered |= IsInDoubt(code);
        batch.MayBeWritten |= IsInDoubt(code) && !batch.CannotBeWritten;
        if (batch.IsReported || !retries)
            Drop(batch);
        else if (code == ErrorCode.MessageTooLarge && batch is { RecordCount: > 1, MayBeWritten: false, IsWhole: false })
            Split(batch);
        else if (idempotent && IsOutOfStep(code))
            OnOutOfStep(batch, code, retryAt);
        else if (code.Action() == ErrorAction.Retry)
            Retry(retryAt);
        else
            Drop(batch);
    }

    /// <summary>Reports batches past their deadline: as failed, unless a batch was delivered and only its report was waiting.</summary>
    /// <param name="sentBefore">Batches sent at or before this time are past it.</param>
    public void Expire(long sentBefore)
    {
        for (var i = 0; i < _batches.Count;)
        {
            var batch = _batches[i];
            if (batch.SentAt > sentBefore || batch.IsReported)
            {
                i++;
                continue;
            }
            if (batch.IsAcknowledged)
            {
                // The batches before it have timed out while in flight; their responses no longer delay its report.
                batch.IsReported = true;
                _resolved.Add(new Resolution(batch, Report: true, Release: false));
                i++;
                continue;
            }
            if (batch.Result.Error == ErrorCode.None)
                batch.Result = ProduceResult.Failed(ErrorCode.RequestTimedOut, batch.IsInFlight ? "the broker did not answer in time"
                    : "it could not be sent in time");
            if (batch.IsInFlight)
            {
                // The broker still uses its memory, so it stays in the queue. A late response may still save the batches behind it.
                batch.IsReported = true;
                batch.MayBeWritten = true;
                _resolved.Add(new Resolution(batch, Report: true, Release: false));
                i++;
                continue;
            }
            Drop(batch);
        }
    }

    /// <summary>Fails all batches that are not sent or wait for a retry, since no producer id can be allocated.</summary>
    public void FailAll(ErrorCode code, string message)
    {
        for (var i = 0; i < _batches.Count;)
        {
            var batch = _batches[i];
            if (batch.IsInFlight || batch.IsAcknowledged)
            {
                i++;
                continue;
            }
            batch.Result = ProduceResult.Failed(code, message);
            Drop(batch);
        }
    }

    /// <summary>Moves the batches resolved since the last call to <paramref name="target"/>.</summary>
    public void TakeResolved(List<Resolution> target)
    {
        target.AddRange(_resolved);
        _resolved.Clear();
    }

    /// <summary>Whether any batch was resolved since the last <see cref="TakeResolved"/>.</summary>
    public bool HasResolved => _resolved.Count > 0;

    /// <summary>When the oldest unreported batch was sent; null for none.</summary>
    public long? OldestSentAt
    {
        get
        {
            foreach (var batch in _batches)
            {
                if (!batch.IsReported)
                    return batch.SentAt;
            }
            return null;
        }
    }

    /// <summary>Whether the batch may be in the log after this code.</summary>
    public static bool IsInDoubt(ErrorCode code) => code is ErrorCode.RequestTimedOut or ErrorCode.NotEnoughReplicasAfterAppend
        or ErrorCode.KafkaStorageError or ErrorCode.UnknownServerError;

    private static bool IsOutOfStep(ErrorCode code) =>
        code is ErrorCode.OutOfOrderSequenceNumber or ErrorCode.UnknownProducerId or ErrorCode.InvalidProducerEpoch;

    private int InFlightLimit(long now) =>
        !idempotent || (_lastAcknowledged is { } last && now - last < restAfter) ? maxInFlight : 1;

    private ProduceBatch TakeUnsent()
    {
        var batch = _batches[_sent++];
        if (idempotent)
        {
            batch.BaseSequence = _nextSequence;
            _nextSequence = (int)((_nextSequence + (long)batch.RecordCount) & int.MaxValue);
        }
        return batch;
    }
}
