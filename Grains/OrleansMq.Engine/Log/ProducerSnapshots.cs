using OrleansMq.Diagnostics;
using OrleansMq.Producers;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// The snapshots of producers in a partition's directory, each with a companion that has the batches before the last one. One is taken when
/// a segment is rolled (named by the new segment's base offset), when the recovery point moves, and on a clean shutdown. Recovery then
/// reads only the batches after the latest one.
/// </summary>
/// <param name="files">The disk.</param>
/// <param name="directory">The partition's directory.</param>
/// <param name="log">Logs damaged snapshots.</param>
internal sealed class ProducerSnapshots(IFileSystem files, string directory, EngineLog log)
{
    /// <summary>Their files.</summary>
    public SnapshotFiles Files { get; } = new(files, directory, log, LogFiles.Snapshot, LogFiles.Producers);

    /// <summary>Writes the state as the snapshot at its <see cref="ProducerStateManager.EndOffset"/>.</summary>
    /// <param name="producers">The state, without unwritten batches (no open group).</param>
    /// <param name="durable">Whether it survives a power cut.</param>
    public void Take(ProducerStateManager producers, bool durable) => Write(Prepare(producers), durable);

    /// <summary>Encodes the snapshot at the state's <see cref="ProducerStateManager.EndOffset"/>: the part that must not run concurrently
    /// with appends.</summary>
    /// <param name="producers">The state, without unwritten batches.</param>
    /// <param name="ended">The transactions that the high watermark may not have passed.</param>
    public static PreparedSnapshot Prepare(ProducerStateManager producers, IReadOnlyList<EndedTransaction>? ended = null)
    {
        var snapshot = ProducerSnapshotFormat.EncodeSnapshot(producers);
        return new PreparedSnapshot(producers.EndOffset, snapshot, ProducerSnapshotFormat.EncodeCompanion(producers, snapshot, ended));
    }

    /// <summary>Writes a prepared snapshot: see <see cref="Take"/>.</summary>
    public void Write(PreparedSnapshot prepared, bool durable) =>
        Files.Write(prepared.Offset, prepared.Snapshot, prepared.Companion, durable);

    /// <summary>
    /// Fills <paramref name="producers"/> from the latest intact snapshot between the log start offset and <paramref name="maxOffset"/>.
    /// Deletes damaged ones found on the way.
    /// </summary>
    /// <param name="producers">The state to replace completely.</param>
    /// <param name="logStartOffset">Where to start without a snapshot: the base offset of the first segment.</param>
    /// <param name="maxOffset">The offset to recover or truncate to; snapshots above it are ignored.</param>
    /// <param name="now">The broker's clock, in milliseconds since 1970.</param>
    /// <param name="ended">Is filled with the ended transactions that the snapshot tells of.</param>
    /// <returns>The offset from which batches must be applied; equals <see cref="ProducerStateManager.EndOffset"/>.</returns>
    public long Load(ProducerStateManager producers, long logStartOffset, long maxOffset, long now, List<EndedTransaction>? ended = null)
    {
        var withoutCompanion = -1L;
        var whole = Files.Load(logStartOffset, maxOffset, offset =>
        {
            var outcome = Load(producers, offset, now, ended);
            // A crash may have torn a snapshot that a roll did not flush. The one before it is then intact, and at most a segment older.
            if (outcome == SnapshotOutcome.LastBatchesOnly)
                withoutCompanion = Math.Max(withoutCompanion, offset);
            return outcome == SnapshotOutcome.Damaged ? null : outcome == SnapshotOutcome.Whole;
        });
        if (whole is not null)
            return whole.Value;
        if (withoutCompanion >= 0)
        {
            log.Write(EngineLogLevel.Warning,
                $"'{Files.CompanionPathOf(withoutCompanion)}' is missing or damaged: of each producer only the last batch is known.");
            Load(producers, withoutCompanion, now, ended);
            if (producers.Producers.Any(static producer => producer.Value.UsesTransactions))
                ended?.Add(Any(logStartOffset, withoutCompanion));
            return withoutCompanion;
        }
        producers.Reset(logStartOffset);
        ended?.Clear();
        return logStartOffset;
    }

    // Which transactions ended where is not known: until the high watermark has passed the snapshot's offset, nothing below it is stable.
    private static EndedTransaction Any(long from, long offset) => new(from, offset - 1);

    private SnapshotOutcome Load(ProducerStateManager producers, long offset, long now, List<EndedTransaction>? ended)
    {
        producers.Reset(offset);
        return ProducerSnapshotFormat.Decode(Files.TryRead(offset), Files.TryReadCompanion(offset), now, producers, ended);
    }
}

/// <summary>An encoded producer snapshot that is not written yet.</summary>
/// <param name="Offset">The snapshot covers all batches below it.</param>
/// <param name="Snapshot">The content of Kafka's file.</param>
/// <param name="Companion">The content of the companion file.</param>
internal sealed record PreparedSnapshot(long Offset, byte[] Snapshot, byte[] Companion);
