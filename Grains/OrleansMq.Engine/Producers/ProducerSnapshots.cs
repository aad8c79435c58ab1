using System.Globalization;
using OrleansMq.Diagnostics;
using OrleansMq.Storage;

namespace OrleansMq.Producers;

/// <summary>
/// The producer snapshots in a partition's directory: <c>&lt;20 digits&gt;.snapshot</c> describes the producers after every batch below
/// that offset. Taken when a segment is rolled (named by the new segment's base offset), when the recovery point moves, and on a clean
/// shutdown, so that recovery reads batches only from the latest one on. A snapshot that is lost or damaged costs time, never records: an
/// older one is used, or none.
/// </summary>
/// <param name="fileSystem">The disk.</param>
/// <param name="directory">The partition's directory.</param>
/// <param name="log">Where a damaged snapshot is told.</param>
public sealed class ProducerSnapshots(IFileSystem fileSystem, string directory, EngineLog log)
{
    /// <summary>What Kafka's snapshot files end in.</summary>
    public const string Suffix = ".snapshot";
    /// <summary>What the files with the earlier batches end in.</summary>
    public const string CompanionSuffix = ".producers";

    /// <summary>The path of the snapshot at an offset.</summary>
    public string PathOf(long offset) => Path.Combine(directory, FileName(offset, Suffix));

    /// <summary>Writes the state as the snapshot at its <see cref="ProducerStateManager.EndOffset"/>.</summary>
    /// <param name="producers">The state; nothing of it may be unwritten (no open group).</param>
    /// <param name="durable">
    /// Whether it survives a power cut. On a roll it need not: a damaged one is noticed, and the one before is used.
    /// </param>
    public void Take(ProducerStateManager producers, bool durable) => Write(Prepare(producers), durable);

    /// <summary>The bytes of the snapshot at the state's <see cref="ProducerStateManager.EndOffset"/>: what must be done while nobody
    /// appends.</summary>
    internal static PreparedSnapshot Prepare(ProducerStateManager producers)
    {
        var snapshot = ProducerSnapshotFormat.EncodeSnapshot(producers);
        return new PreparedSnapshot(producers.EndOffset, snapshot, ProducerSnapshotFormat.EncodeCompanion(producers, snapshot));
    }

    /// <summary>Writes what was prepared: see <see cref="Take"/>.</summary>
    internal void Write(PreparedSnapshot prepared, bool durable)
    {
        // One that is there says the same, and may be durable: it must not be lost with what would replace it.
        if (!durable && fileSystem.FileExists(PathOf(prepared.Offset)))
            return;
        // The companion goes first: it counts for nothing until the snapshot it belongs to is there.
        AtomicFile.Write(fileSystem, Path.Combine(directory, FileName(prepared.Offset, CompanionSuffix)), prepared.Companion, durable);
        AtomicFile.Write(fileSystem, PathOf(prepared.Offset), prepared.Snapshot, durable);
    }

    /// <summary>
    /// Fills <paramref name="producers"/> from the latest intact snapshot between the log start offset and <paramref name="maxOffset"/>,
    /// and deletes damaged ones on the way.
    /// </summary>
    /// <param name="producers">Everything in it is replaced.</param>
    /// <param name="logStartOffset">Where to build from when there is no snapshot: the base offset of the first segment.</param>
    /// <param name="maxOffset">The offset to recover or truncate to; snapshots above it are not looked at.</param>
    /// <param name="now">The broker's clock, in milliseconds since 1970.</param>
    /// <returns>The offset from which batches are to be applied; equals <see cref="ProducerStateManager.EndOffset"/>.</returns>
    public long Load(ProducerStateManager producers, long logStartOffset, long maxOffset, long now)
    {
        var withoutCompanion = -1L;
        foreach (var offset in List().Where(o => o <= maxOffset && o >= logStartOffset).OrderDescending())
        {
            var outcome = Load(producers, offset, now);
            if (outcome == SnapshotOutcome.Whole)
                return offset;
            // A crash may have torn what a roll did not flush. The snapshot before it is whole then, and no more than a segment older.
            if (outcome == SnapshotOutcome.LastBatchesOnly)
            {
                withoutCompanion = Math.Max(withoutCompanion, offset);
                continue;
            }
            log.Write(EngineLogLevel.Warning,
                $"The producer snapshot '{PathOf(offset)}' is damaged; it is deleted, and the state is built from the log.");
            Delete(offset);
        }
        if (withoutCompanion >= 0)
        {
            log.Write(EngineLogLevel.Warning, $"'{Path.Combine(directory, FileName(withoutCompanion, CompanionSuffix))}' is missing or "
                + "damaged: of each producer only the last "
                + "batch is known.");
            Load(producers, withoutCompanion, now);
            return withoutCompanion;
        }
        producers.Reset(logStartOffset);
        return logStartOffset;
    }

    private SnapshotOutcome Load(ProducerStateManager producers, long offset, long now)
    {
        producers.Reset(offset);
        var snapshot = AtomicFile.TryRead(fileSystem, PathOf(offset));
        var companion = AtomicFile.TryRead(fileSystem, Path.Combine(directory, FileName(offset, CompanionSuffix)));
        return ProducerSnapshotFormat.Decode(snapshot, companion, now, producers);
    }

    /// <summary>The offsets of the snapshots that are there, in no particular order.</summary>
    public IReadOnlyList<long> List() => OffsetsOf(Suffix);

    /// <summary>Deletes snapshots below an offset, but for the latest of all: what retention and delete-records call.</summary>
    public void DeleteBefore(long offset)
    {
        var latest = List().DefaultIfEmpty(-1).Max();
        Delete(o => o < offset && o != latest);
    }

    /// <summary>Deletes snapshots above an offset: what truncation calls, before the log is cut.</summary>
    public void DeleteAfter(long offset) => Delete(o => o > offset);

    /// <summary>
    /// Deletes snapshots that are neither at one of <paramref name="keep"/> (the segments' base offsets) nor the latest: left by recovery
    /// points that have moved on.
    /// </summary>
    public void DeleteExcept(IReadOnlySet<long> keep)
    {
        var latest = List().DefaultIfEmpty(-1).Max();
        Delete(o => !keep.Contains(o) && o != latest);
    }

    private void Delete(Predicate<long> unwanted)
    {
        foreach (var offset in List().Union(OffsetsOf(CompanionSuffix)).Where(o => unwanted(o)))
            Delete(offset);
    }

    private void Delete(long offset)
    {
        fileSystem.DeleteFile(PathOf(offset));
        fileSystem.DeleteFile(Path.Combine(directory, FileName(offset, CompanionSuffix)));
    }

    private List<long> OffsetsOf(string suffix)
    {
        var offsets = new List<long>();
        foreach (var name in fileSystem.ListFiles(directory))
        {
            if (name.Length == 20 + suffix.Length && name.EndsWith(suffix, StringComparison.Ordinal)
                && long.TryParse(name.AsSpan(0, 20), NumberStyles.None, CultureInfo.InvariantCulture, out var offset))
                offsets.Add(offset);
        }
        return offsets;
    }

    private static string FileName(long offset, string suffix) => offset.ToString("D20", CultureInfo.InvariantCulture) + suffix;
}

/// <summary>A producer snapshot that is to be written.</summary>
/// <param name="Offset">All batches below it are in it.</param>
/// <param name="Snapshot">Kafka's file.</param>
/// <param name="Companion">Ours beside it.</param>
internal sealed record PreparedSnapshot(long Offset, byte[] Snapshot, byte[] Companion);
