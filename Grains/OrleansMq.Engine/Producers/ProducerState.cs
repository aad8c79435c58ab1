using System.Runtime.CompilerServices;
using OrleansMq.Records;

namespace OrleansMq.Producers;

/// <summary>One batch that a producer wrote.</summary>
/// <param name="BaseSequence">The sequence number of its first record.</param>
/// <param name="OffsetDelta">Its last offset minus its first; the same for sequence numbers.</param>
/// <param name="BaseOffset">Its first offset.</param>
/// <param name="Timestamp">Its largest timestamp, in milliseconds since 1970.</param>
internal readonly record struct ProducerBatch(int BaseSequence, int OffsetDelta, long BaseOffset, long Timestamp)
{
    /// <summary>The sequence number of its last record; sequences wrap from 2,147,483,647 to 0.</summary>
    public int LastSequence => (int)(((long)BaseSequence + OffsetDelta) & int.MaxValue);
    /// <summary>Its last offset.</summary>
    public long LastOffset => BaseOffset + OffsetDelta;
}

/// <summary>
/// The state of one producer id in a partition: its epoch and the last five batches of that epoch. A value type, so that it needs no object
/// of its own, and a copy is a snapshot.
/// </summary>
internal struct ProducerState
{
    /// <summary>
    /// The number of remembered batches: 5, since a client may have five requests in flight, and retries each until it is answered.
    /// </summary>
    public const int RememberedBatches = 5;

    /// <summary>The epoch of an unknown producer.</summary>
    public const short NoEpoch = -1;

    private Batches _batches;
    private byte _count;
    private byte _newest;

    /// <summary>Creates an empty state.</summary>
    public ProducerState()
    {
    }

    /// <summary>The newest epoch seen; <see cref="NoEpoch"/> before the first batch.</summary>
    public short Epoch { get; private set; } = NoEpoch;

    /// <summary>
    /// Whether the log contained this epoch from sequence 0 on. Only then is a sequence below the remembered ones certainly a duplicate. A
    /// producer whose state had expired may have been accepted mid-sequence, with an earlier batch still in flight.
    /// </summary>
    public bool StartedAtZero { get; private set; }

    /// <summary>When its last batch was appended, by the broker's clock, in milliseconds since 1970. Expiry is based on it.</summary>
    public long LastAppendTime { get; private set; }

    /// <summary>The first offset of its open transaction; -1 for none.</summary>
    public long CurrentTransactionFirstOffset { get; private set; } = -1;

    /// <summary>The epoch of the coordinator that ended its last transaction; -1 for none.</summary>
    public int CoordinatorEpoch { get; private set; } = -1;

    /// <summary>Whether it has, or had, a transaction.</summary>
    public readonly bool UsesTransactions => CoordinatorEpoch >= 0 || CurrentTransactionFirstOffset >= 0;

    /// <summary>The highest number of its ended transactions; 0 if none had a number.</summary>
    public long LastTransactionNumber { get; private set; }

    /// <summary>The number of remembered batches: 0 to <see cref="RememberedBatches"/>.</summary>
    public readonly int Count => _count;

    /// <summary>Returns a remembered batch; 0 is the newest.</summary>
    public readonly ProducerBatch this[int age] => _batches[(_newest + RememberedBatches - age) % RememberedBatches];

    /// <summary>Decides on a batch. Pure.</summary>
    /// <param name="batch">The batch's header.</param>
    /// <param name="verified">What the coordinator said of its transaction.</param>
    public readonly ProducerDecision Check(in RecordBatchHeader batch, in VerifiedTransaction verified = default)
    {
        var decision = CheckOrder(batch);
        return decision.Outcome == ProducerOutcome.Accept && !batch.IsControl ? CheckTransaction(batch, verified) : decision;
    }

    private readonly ProducerDecision CheckTransaction(in RecordBatchHeader batch, in VerifiedTransaction verified)
    {
        var isOpen = CurrentTransactionFirstOffset >= 0;
        if (!batch.IsTransactional)
            return isOpen ? new ProducerDecision(ProducerOutcome.InTransaction) : ProducerDecision.Accepted;
        if (isOpen && batch.ProducerEpoch == Epoch)
            return ProducerDecision.Accepted;
        if (isOpen || verified.Number <= LastTransactionNumber)
            return new ProducerDecision(ProducerOutcome.NotInTransaction);
        return verified.StartsAtZero && Epoch == NoEpoch && batch.BaseSequence != 0
            ? new ProducerDecision(ProducerOutcome.OutOfOrderSequence, ExpectedSequence: 0) : ProducerDecision.Accepted;
    }

    private readonly ProducerDecision CheckOrder(in RecordBatchHeader batch)
    {
        if (batch.ProducerEpoch < Epoch)
            return new ProducerDecision(ProducerOutcome.FencedEpoch, KnownEpoch: Epoch);
        if (batch.IsControl)
            return ProducerDecision.Accepted;
        if (batch.BaseSequence < 0)
            return new ProducerDecision(ProducerOutcome.OutOfOrderSequence, ExpectedSequence: ExpectedSequence(batch.ProducerEpoch));
        if (Epoch == NoEpoch)
            return ProducerDecision.Accepted;
        if (batch.ProducerEpoch > Epoch || _count == 0)
        {
            return batch.BaseSequence == 0
                ? ProducerDecision.Accepted
                : new ProducerDecision(ProducerOutcome.OutOfOrderSequence, ExpectedSequence: 0);
        }
        return CheckSequence(batch);
    }

    private readonly ProducerDecision CheckSequence(in RecordBatchHeader batch)
    {
        if (batch.BaseSequence == ExpectedSequence(Epoch))
            return ProducerDecision.Accepted;
        for (var age = 0; age < _count; age++)
        {
            var known = this[age];
            if (known.BaseSequence == batch.BaseSequence && known.LastSequence == batch.LastSequence)
                return new ProducerDecision(ProducerOutcome.Duplicate, known.BaseOffset, known.LastOffset);
        }
        if (LetterProducers.IsLetter(batch.ProducerId, batch.ProducerEpoch)
            || OutboxProducers.IsOutbox(batch.ProducerId, batch.ProducerEpoch))
            return CheckSkipping(batch);
        return StartedAtZero && IsBefore(batch.LastSequence, this[_count - 1].BaseSequence)
            ? new ProducerDecision(ProducerOutcome.DuplicateSequence, LastOffset: this[_count - 1].BaseOffset - 1)
            : new ProducerDecision(ProducerOutcome.OutOfOrderSequence, ExpectedSequence: ExpectedSequence(Epoch));
    }

    // What is in the log is below the end of the newest batch, so a duplicate waits for that. A batch of which some records are in the log
    // is refused: it is sent again in parts.
    private readonly ProducerDecision CheckSkipping(in RecordBatchHeader batch)
    {
        var newest = this[0];
        if (IsBefore(newest.LastSequence, batch.BaseSequence))
            return ProducerDecision.Accepted;
        return IsBefore(newest.LastSequence, LastSequenceOf(batch))
            ? new ProducerDecision(ProducerOutcome.OutOfOrderSequence, ExpectedSequence: ExpectedSequence(Epoch))
            : new ProducerDecision(ProducerOutcome.Duplicate, newest.BaseOffset, newest.LastOffset);
    }

    private static int LastSequenceOf(in RecordBatchHeader batch) =>
        (int)(((long)batch.BaseSequence + batch.LastOffsetDelta) & int.MaxValue);

    private readonly int ExpectedSequence(short epoch) =>
        epoch != Epoch || _count == 0 ? 0 : (int)((this[0].LastSequence + 1L) & int.MaxValue);

    // Sequences wrap, so "before" means the shorter distance.
    private static bool IsBefore(int sequence, int other) => ((other - (long)sequence) & int.MaxValue) is > 0 and < 1 << 30;

    /// <summary>Remembers a batch that is in the log. Does not check it, since the log is authoritative, even if compaction left
    /// gaps.</summary>
    /// <param name="batch">The batch's header.</param>
    /// <param name="appendTime">When it was appended, in milliseconds since 1970.</param>
    /// <param name="marker">The marker of a control batch; null if it has none, since compaction has emptied it.</param>
    /// <returns>What it does to the transactions of the log.</returns>
    internal TransactionChange Apply(in RecordBatchHeader batch, long appendTime, in TransactionMarker? marker)
    {
        if (batch.ProducerEpoch != Epoch)
        {
            Epoch = batch.ProducerEpoch;
            StartedAtZero = batch.BaseSequence == 0;
            _count = 0;
        }
        LastAppendTime = appendTime;
        if (batch.IsControl)
            return marker is { } end ? End(batch, end) : default;
        if (_count == 0)
            StartedAtZero = batch.BaseSequence == 0;
        Remember(new ProducerBatch(batch.BaseSequence, batch.LastOffsetDelta, batch.BaseOffset, batch.MaxTimestamp));
        if (!batch.IsTransactional || CurrentTransactionFirstOffset >= 0)
            return default;
        CurrentTransactionFirstOffset = batch.BaseOffset;
        return new TransactionChange(TransactionStep.Began, batch.ProducerId, batch.BaseOffset, Epoch: batch.ProducerEpoch,
            BeganAt: appendTime);
    }

    // The marker of a transaction without records here changes no more than the epochs.
    private TransactionChange End(in RecordBatchHeader batch, in TransactionMarker marker)
    {
        CoordinatorEpoch = marker.CoordinatorEpoch;
        LastTransactionNumber = Math.Max(LastTransactionNumber, marker.Number);
        var first = CurrentTransactionFirstOffset;
        if (first < 0)
            return default;
        CurrentTransactionFirstOffset = -1;
        return new TransactionChange(marker.IsCommit ? TransactionStep.Committed : TransactionStep.Aborted, batch.ProducerId, first,
            batch.BaseOffset);
    }

    /// <summary>Adds a batch as the newest one.</summary>
    internal void Remember(ProducerBatch batch)
    {
        _newest = _count == 0 ? (byte)0 : (byte)((_newest + 1) % RememberedBatches);
        _batches[_newest] = batch;
        if (_count < RememberedBatches)
            _count++;
    }

    /// <summary>Creates the state in a snapshot, without its batches.</summary>
    internal static ProducerState Restore(short epoch, bool startedAtZero, long lastAppendTime, int coordinatorEpoch,
        long currentTransactionFirstOffset, long lastTransactionNumber = 0) => new()
    {
        Epoch = epoch,
        StartedAtZero = startedAtZero,
        LastAppendTime = lastAppendTime,
        CoordinatorEpoch = coordinatorEpoch,
        CurrentTransactionFirstOffset = currentTransactionFirstOffset,
        LastTransactionNumber = lastTransactionNumber,
    };

    [InlineArray(RememberedBatches)]
    private struct Batches
    {
        private ProducerBatch _first;
    }
}
