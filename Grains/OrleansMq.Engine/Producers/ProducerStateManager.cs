using System.Runtime.InteropServices;
using OrleansMq.Diagnostics;
using OrleansMq.Records;

namespace OrleansMq.Producers;

/// <summary>
/// The state of a partition's idempotent producers, as in Kafka's broker. Live appends and recovery use the same <see cref="Apply"/>. No
/// I/O, no clock. Not thread-safe: guarded by the partition's append lock. A known producer costs no allocation.
/// <para>Batches are checked and applied one by one before they are written, so that batches of the same group see each other. The order is
/// <see cref="BeginGroup"/>, then <see cref="Check"/> and <see cref="Apply"/> for each, the write, and <see cref="CommitGroup"/>, or
/// <see cref="RollbackGroup"/> if the write failed and the log was cut back. A duplicate of a batch in the same group is acknowledged like
/// any duplicate: when the high watermark has passed <see cref="ProducerDecision.LastOffset"/>. So it fails with its original.</para>
/// <para>From an unknown producer id a batch with any sequence is accepted (Kafka since 2.5; the error UNKNOWN_PRODUCER_ID is no longer
/// returned). Its state may have expired, or been removed with deleted records.</para>
/// </summary>
internal sealed class ProducerStateManager
{
    private readonly Dictionary<long, ProducerState> _producers = [];
    private readonly List<Undo> _undo = [];
    private bool _inGroup;
    private long _endOffsetBeforeGroup;

    /// <summary>The number of known producers.</summary>
    public int Count => _producers.Count;

    /// <summary>The offset after the last applied batch, which names a snapshot taken now.</summary>
    public long EndOffset { get; private set; }

    /// <summary>The known producers, by id, in no particular order.</summary>
    public IEnumerable<KeyValuePair<long, ProducerState>> Producers => _producers;

    /// <summary>Returns the state of a producer, if known.</summary>
    public bool TryGet(long producerId, out ProducerState state) => _producers.TryGetValue(producerId, out state);

    /// <summary>
    /// Decides on a batch. Pure: the result is the same until a batch is applied. A batch without producer id is accepted.
    /// </summary>
    /// <param name="batch">The batch's header.</param>
    /// <param name="verified">What the coordinator said of its transaction.</param>
    public ProducerDecision Check(in RecordBatchHeader batch, in VerifiedTransaction verified = default)
    {
        if (!batch.HasProducer)
            return ProducerDecision.Accepted;
        ref readonly var known = ref CollectionsMarshal.GetValueRefOrNullRef(_producers, batch.ProducerId);
        return System.Runtime.CompilerServices.Unsafe.IsNullRef(in known)
            ? new ProducerState().Check(batch, verified) : known.Check(batch, verified);
    }

    /// <summary>
    /// Applies a batch that is being appended (with its base offset stamped), or that the log contains. Batches come in offset order.
    /// </summary>
    /// <param name="batch">The batch's header.</param>
    /// <param name="appendTime">The broker's clock, in milliseconds since 1970; during recovery, the time of the recovery.</param>
    /// <param name="marker">The marker of a control batch, if it has one.</param>
    /// <returns>What it does to the transactions of the log.</returns>
    public TransactionChange Apply(in RecordBatchHeader batch, long appendTime, in TransactionMarker? marker = null)
    {
        Invariant.Check(batch.BaseOffset >= EndOffset, "Producer state is built in the order of offsets.");
        EndOffset = batch.NextOffset;
        if (!batch.HasProducer)
            return default;
        ref var state = ref CollectionsMarshal.GetValueRefOrAddDefault(_producers, batch.ProducerId, out var known);
        if (_inGroup)
            _undo.Add(new Undo(batch.ProducerId, known, state));
        if (!known)
            state = new ProducerState();
        return state.Apply(batch, appendTime, marker);
    }

    /// <summary>Begins a group, whose changes can be rolled back.</summary>
    public void BeginGroup()
    {
        Invariant.Check(!_inGroup, "One group of batches at a time.");
        _inGroup = true;
        _endOffsetBeforeGroup = EndOffset;
    }

    /// <summary>Commits the group: its batches are in the log.</summary>
    public void CommitGroup()
    {
        Invariant.Check(_inGroup, "No group of batches was begun.");
        _inGroup = false;
        _undo.Clear();
    }

    /// <summary>Rolls the group back, since its batches are not in the log: restores the state as of <see cref="BeginGroup"/>.</summary>
    public void RollbackGroup()
    {
        Invariant.Check(_inGroup, "No group of batches was begun.");
        for (var i = _undo.Count - 1; i >= 0; i--)
        {
            var undo = _undo[i];
            if (undo.Known)
                _producers[undo.ProducerId] = undo.State;
            else
                _producers.Remove(undo.ProducerId);
        }
        EndOffset = _endOffsetBeforeGroup;
        _inGroup = false;
        _undo.Clear();
    }

    /// <summary>
    /// Removes producers without an open transaction whose last batch was appended at least <paramref name="expiration"/> ago, to bound the
    /// table. Uses the broker's clock instead of record timestamps, which may be years old.
    /// </summary>
    /// <param name="now">The broker's clock, in milliseconds since 1970.</param>
    /// <param name="expiration">The age.</param>
    /// <param name="logStart">The log's start: a producer of dead letters stays while its last batch is at or above it.</param>
    /// <returns>The number of removed producers.</returns>
    public int RemoveExpired(long now, TimeSpan expiration, long logStart = long.MaxValue)
    {
        Invariant.Check(!_inGroup, "Producers do not expire while a group of batches is written.");
        var before = _producers.Count;
        var limit = (long)expiration.TotalMilliseconds;
        foreach (var (id, state) in _producers) // A dictionary may be removed from while it is iterated.
        {
            if (state.CurrentTransactionFirstOffset < 0 && now - state.LastAppendTime >= limit && !IsKept(id, state, logStart))
                _producers.Remove(id);
        }
        return before - _producers.Count;
    }

    private static bool IsKept(long id, in ProducerState state, long logStart) =>
        LetterProducers.IsLetter(id, state.Epoch) && state.Count > 0 && state[0].LastOffset >= logStart;

    /// <summary>
    /// Clears the state; the log's next batch is at or above <paramref name="endOffset"/>. Truncation begins with this. It then loads the
    /// latest snapshot at or below the cut, and applies the batches from there to the cut.
    /// </summary>
    public void Reset(long endOffset)
    {
        Invariant.Check(!_inGroup, "The producer state is not replaced while a group of batches is written.");
        _producers.Clear();
        EndOffset = endOffset;
    }

    /// <summary>Sets a producer's state from a snapshot.</summary>
    internal void Restore(long producerId, in ProducerState state) => _producers[producerId] = state;

    private readonly record struct Undo(long ProducerId, bool Known, ProducerState State);
}
