using System.Runtime.InteropServices;
using OrleansMq.Diagnostics;
using OrleansMq.Records;

namespace OrleansMq.Producers;

/// <summary>
/// What one partition knows of its idempotent producers, as Kafka's broker does: live appends and recovery go through the same
/// <see cref="Apply"/>. No I/O, no clock; not thread safe: it belongs to whoever holds the partition's append lock. A producer that is
/// known costs no allocation.
/// <para>Batches are checked and applied one by one before they are written, so that two of one group see each other:
/// <see cref="BeginGroup"/>, then <see cref="Check"/> and <see cref="Apply"/> for each, the write, and <see cref="CommitGroup"/>, or
/// <see cref="RollbackGroup"/> where the write failed and the log was cut back. A duplicate of a batch in the same group is acknowledged
/// like any duplicate: when the high watermark has passed <see cref="ProducerDecision.LastOffset"/>, so it fails with its original.</para>
/// <para>Of a producer id that nothing is known of, a batch with any sequence is accepted (Kafka since 2.5; the error UNKNOWN_PRODUCER_ID
/// is no longer returned): its state may have expired, or gone with deleted records.</para>
/// </summary>
public sealed class ProducerStateManager
{
    private readonly Dictionary<long, ProducerState> _producers = [];
    private readonly List<Undo> _undo = [];
    private bool _inGroup;
    private long _endOffsetBeforeGroup;

    /// <summary>How many producers are known.</summary>
    public int Count => _producers.Count;

    /// <summary>The offset after the last batch that was applied: what a snapshot taken now is named by.</summary>
    public long EndOffset { get; private set; }

    /// <summary>The producers that are known, by id, in no particular order.</summary>
    public IEnumerable<KeyValuePair<long, ProducerState>> Producers => _producers;

    /// <summary>What is known of a producer.</summary>
    public bool TryGet(long producerId, out ProducerState state) => _producers.TryGetValue(producerId, out state);

    /// <summary>
    /// What becomes of a batch. Pure: says the same until something is applied. A batch without producer id is accepted.
    /// </summary>
    public ProducerDecision Check(in RecordBatchHeader batch)
    {
        if (!batch.HasProducer)
            return ProducerDecision.Accepted;
        ref readonly var known = ref CollectionsMarshal.GetValueRefOrNullRef(_producers, batch.ProducerId);
        return System.Runtime.CompilerServices.Unsafe.IsNullRef(in known) ? new ProducerState().Check(batch) : known.Check(batch);
    }

    /// <summary>
    /// Takes note of a batch that is appended (its base offset stamped), or that the log is found to hold. Batches come in the order of
    /// their offsets.
    /// </summary>
    /// <param name="batch">Its header.</param>
    /// <param name="appendTime">The broker's clock, in milliseconds since 1970; in recovery the time of the recovery.</param>
    public void Apply(in RecordBatchHeader batch, long appendTime)
    {
        Invariant.Check(batch.BaseOffset >= EndOffset, "Producer state is built in the order of offsets.");
        EndOffset = batch.NextOffset;
        if (!batch.HasProducer)
            return;
        ref var state = ref CollectionsMarshal.GetValueRefOrAddDefault(_producers, batch.ProducerId, out var known);
        if (_inGroup)
            _undo.Add(new Undo(batch.ProducerId, known, state));
        if (!known)
            state = new ProducerState();
        state.Apply(batch, appendTime);
    }

    /// <summary>From here on changes can be taken back.</summary>
    public void BeginGroup()
    {
        Invariant.Check(!_inGroup, "One group of batches at a time.");
        _inGroup = true;
        _endOffsetBeforeGroup = EndOffset;
    }

    /// <summary>The group's batches are in the log.</summary>
    public void CommitGroup()
    {
        Invariant.Check(_inGroup, "No group of batches was begun.");
        _inGroup = false;
        _undo.Clear();
    }

    /// <summary>The group's batches are not in the log: everything is as it was at <see cref="BeginGroup"/>.</summary>
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
    /// Forgets producers without an open transaction whose last batch was appended <paramref name="expiration"/> ago or longer, so that the
    /// table is bounded. Goes by the broker's clock, not by the timestamps in the records, which may be years old.
    /// </summary>
    /// <returns>How many were forgotten.</returns>
    public int RemoveExpired(long now, TimeSpan expiration)
    {
        Invariant.Check(!_inGroup, "Producers do not expire while a group of batches is written.");
        var before = _producers.Count;
        var limit = (long)expiration.TotalMilliseconds;
        foreach (var (id, state) in _producers) // A dictionary may be removed from while it is iterated.
        {
            if (state.CurrentTransactionFirstOffset < 0 && now - state.LastAppendTime >= limit)
                _producers.Remove(id);
        }
        return before - _producers.Count;
    }

    /// <summary>
    /// Forgets everything; the log's next batch is at or above <paramref name="endOffset"/>. Truncation starts here: clear, load the latest
    /// snapshot that is not above the cut (<see cref="ProducerSnapshots"/>), and apply the batches from there to the cut.
    /// </summary>
    public void Reset(long endOffset)
    {
        Invariant.Check(!_inGroup, "The producer state is not replaced while a group of batches is written.");
        _producers.Clear();
        EndOffset = endOffset;
    }

    /// <summary>Puts in place what a snapshot says of a producer.</summary>
    internal void Restore(long producerId, in ProducerState state) => _producers[producerId] = state;

    private readonly record struct Undo(long ProducerId, bool Known, ProducerState State);
}
