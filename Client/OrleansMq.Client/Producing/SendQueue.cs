using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>What a <see cref="SendQueue"/> wants done next.</summary>
internal enum SendStep
{
    /// <summary>Nothing until something happens.</summary>
    Wait = 0,
    /// <summary>Nothing before <see cref="SendQueue.RetryAt"/>.</summary>
    Backoff = 1,
    /// <summary>Hand the batch to the broker.</summary>
    Send = 2,
    /// <summary>Get the producer id that all partitions share.</summary>
    GetIdentity = 3,
    /// <summary>Get a producer id that was never used: the broker refuses the current one.</summary>
    GetNewIdentity = 4,
}

/// <summary>A batch to tell the recipients of, to give back, or both.</summary>
/// <param name="Batch">The batch.</param>
/// <param name="Report">Its recipients are to be told of its <see cref="ProduceBatch.Result"/>.</param>
/// <param name="Release">Its memory is free.</param>
internal readonly record struct Resolution(ProduceBatch Batch, bool Report, bool Release);

/// <summary>
/// The order of one partition's closed batches: which is sent next, what an answer means, and when a batch has failed. Decisions only: no
/// I/O, no clock, no lock (the caller holds one).
/// <para>
/// <c>[ sent: sequence numbers assigned, unresolved | not sent yet ]</c>: one list, oldest first. Normally up to <c>maxInFlight</c> of the
/// sent ones are with the broker at once. After any failure the queue <i>recovers</i>: it waits until all calls have ended, then sends the
/// oldest alone, and so on, until every batch that had been sent is resolved. So nothing new gets behind a batch in doubt.
/// </para>
/// <para>
/// Idempotence. A batch keeps its sequence number through all retries, so the broker recognises it. When a sent batch is dropped (refused,
/// or past its deadline) there is a gap, and those after it start over under the next producer epoch, from sequence 0; that also fences
/// calls of the old epoch that are still on their way. Never, though, is a batch sent under a second epoch if an earlier attempt may have
/// been appended: it fails as "may be written" instead. So no record that the producer sent is ever in the log twice.
/// </para>
/// <para>
/// A broker accepts any first sequence of a producer it knows nothing of. Therefore the first batch of an epoch, and the first after a long
/// rest, goes alone: were two on their way and the first refused, the second would be accepted before it.
/// </para>
/// </summary>
/// <param name="idempotent">Whether batches carry producer id and sequence.</param>
/// <param name="retries">Whether a retriable failure is retried at all (not with acks 0).</param>
/// <param name="maxInFlight">Batches with the broker at once; 1 without idempotence, which alone keeps their order then.</param>
/// <param name="restAfter">After so long without an acknowledgement the broker may have forgotten the producer.</param>
/// <param name="split">Makes two batches of one that is too large.</param>
internal sealed partial class SendQueue(bool idempotent, bool retries, int maxInFlight, long restAfter,
    Func<ProduceBatch, (ProduceBatch, ProduceBatch)> split)
{
    private readonly List<ProduceBatch> _batches = [];
    private readonly List<Resolution> _resolved = [];
    private int _sent;
    private ProducerIdentity? _identity;
    private bool _identityRefused;
    private int _nextSequence;
    private long? _lastAcknowledged;
    private bool _recovering;
    // The batches from this index on start over under another epoch, once those before it are resolved; -1: none do.
    private int _resetAt = -1;

    /// <summary>Batches with the broker.</summary>
    public int InFlight { get; private set; }
    /// <summary>Batches that were never sent.</summary>
    public int Unsent => _batches.Count - _sent;
    /// <summary>Batches in the queue.</summary>
    public int Count => _batches.Count;
    /// <summary>Nothing is sent before this time.</summary>
    public long RetryAt { get; private set; } = long.MinValue;
    /// <summary>The producer id and epoch batches are sealed with; null without idempotence.</summary>
    public ProducerIdentity? Identity => idempotent ? _identity : null;
    /// <summary>Whether nothing waits and nothing is in flight.</summary>
    public bool IsIdle => _batches.Count == 0;
    /// <summary>Whether as many batches are with the broker as may be: then there is nothing to do before one of them returns.</summary>
    public bool IsSaturated => InFlight >= maxInFlight;

    /// <summary>Puts a batch at the end.</summary>
    public void Enqueue(ProduceBatch batch) => _batches.Add(batch);

    /// <summary>Takes over a producer id.</summary>
    public void SetIdentity(ProducerIdentity identity)
    {
        _identity = identity;
        _identityRefused = false;
        _nextSequence = 0;
        _lastAcknowledged = null;
    }

    /// <summary>What to do now; with <see cref="SendStep.Send"/>, <paramref name="batch"/> counts as sent.</summary>
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

    /// <summary>Takes note of an answer.</summary>
    /// <param name="batch">The batch it is for.</param>
    /// <param name="result">The answer.</param>
    /// <param name="now">The time.</param>
    /// <param name="retryAt">When to try again, should that be the consequence.</param>
    public void OnResult(ProduceBatch batch, in ProduceResult result, long now, long retryAt)
    {
        batch.IsInFlight = false;
        InFlight--;
        var code = result.Error;
        if (code is ErrorCode.None or ErrorCode.DuplicateSequenceNumber)
        {
            // "Duplicate, and so old that its offset is forgotten" is a delivery too.
            batch.Result = code == ErrorCode.None ? result : new ProduceResult(ErrorCode.None, -1);
            batch.IsAcknowledged = true;
            _lastAcknowledged = now;
            ResolveAcknowledged();
            return;
        }
        batch.Result = result;
        batch.MayBeWritten |= IsInDoubt(code) && !batch.CannotBeWritten;
        if (batch.IsReported || !retries)
            Drop(batch);
        else if (code == ErrorCode.MessageTooLarge && batch is { RecordCount: > 1, MayBeWritten: false })
            Split(batch);
        else if (idempotent && IsOutOfStep(code))
            OnOutOfStep(batch, code, retryAt);
        else if (code.Action() == ErrorAction.Retry)
            Retry(retryAt);
        else
            Drop(batch);
    }

    /// <summary>Reports what is past its deadline: as failed, unless it was delivered and only its report waited.</summary>
    /// <param name="sentBefore">Batches sent at or before this time are.</param>
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
                // Those before it were given up while the broker has them: their answers are not waited for.
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
                // The broker still has its memory, so it stays in the queue; its answer, when it comes, may even save those behind it.
                batch.IsReported = true;
                batch.MayBeWritten = true;
                _resolved.Add(new Resolution(batch, Report: true, Release: false));
                i++;
                continue;
            }
            Drop(batch);
        }
    }

    /// <summary>Fails everything that was not sent, and what is waiting to be sent again: there is no producer id to send it
    /// with.</summary>
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

    /// <summary>Moves what was resolved since the last call to <paramref name="target"/>.</summary>
    public void TakeResolved(List<Resolution> target)
    {
        target.AddRange(_resolved);
        _resolved.Clear();
    }

    /// <summary>Whether anything was resolved since the last <see cref="TakeResolved"/>.</summary>
    public bool HasResolved => _resolved.Count > 0;

    /// <summary>When the oldest unreported batch was sent; null where there is none.</summary>
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

    /// <summary>Codes after which the batch may or may not be in the log.</summary>
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
