using System.Globalization;
using OrleansMq.Diagnostics;
using OrleansMq.Storage;

namespace OrleansMq.Producers;

/// <summary>
/// The producer snapshots in a partition's directory. <c>&lt;20 digits&gt;.snapshot</c> describes the producers after every batch below
/// that offset. A snapshot is taken when a segment is rolled (named by the new segment's base offset), when the recovery point moves, and
/// on a clean shutdown. Recovery then reads only the batches after the latest one. A lost or damaged snapshot costs time, never records: an
/// older one is used, or none.
/// </summary>
/// <param name="fileSystem">The disk.</param>
/// <param name="directory">The partition's directory.</param>
/// <param name="log">Logs damaged snapshots.</param>
public sealed class ProducerSnapshots(IFileSystem fileSystem, string directory, EngineLog log)
{
    /// <summary>The suffix of Kafka's snapshot files.</summary>
    public const string Suffix = ".snapshot";
    /// <summary>The suffix of the files with the earlier batches.</summary>
    public const string CompanionSuffix = ".producers";

    /// <summary>Returns the path of the snapshot at an offset.</summary>
    public string PathOf(long offset) => Path.Combine(directory, FileName(offset, Suffix));

    /// <summary>Writes the state as the snapshot at its <see cref="ProducerStateManager.EndOffset"/>.</summary>
    /// <param name="producers">The state, without unwritten batches (no open group).</param>
    /// <param name="durable">
    /// Whether it survives a power cut. After a roll it need not: damage is detected, and the previous snapshot is used.
    /// </param>
    public void Take(ProducerStateManager producers, bool durable) => Write(Prepare(producers), durable);

    /// <summary>Encodes the snapshot at the state's <see cref="ProducerStateManager.EndOffset"/>: the part that must not run concurrently
    /// with appends.</summary>
    internal static PreparedSnapshot Prepare(ProducerStateManager producers)
    {
        var snapshot = ProducerSnapshotFormat.EncodeSnapshot(producers);
        return new PreparedSnapshot(producers.EndOffset, snapshot, ProducerSnapshotFormat.EncodeCompanion(producers, snapshot));
    }

    /// <summary>Writes a prepared snapshot: see <see cref="Take"/>.</summary>
    internal void Write(PreparedSnapshot prepared, bool durable)
    {
        // An existing snapshot has the same content and may be durable, so it must not be replaced by one that is not.
        if (!durable && fileSystem.FileExists(PathOf(prepared.Offset)))
            return;
        // The companion is written first. It has no effect until its snapshot exists.
        AtomicFile.Write(fileSystem, Path.Combine(directory, FileName(prepared.Offset, CompanionSuffix)), prepared.Companion, durable);
        AtomicFile.Write(fileSystem, PathOf(prepared.Offset), prepared.Snapshot, durable);
    }

    /// <summary>
    /// Fills <paramref name="producers"/> from the latest intact snapshot between the log start offset and <paramref name="maxOffset"/>.
    /// Deletes damaged ones found on the way.
    /// </summary>
    /// <param name="producers">The state to replace completely.</param>
    /// <param name="logStartOffset">Where to start without a snapshot: the base offset of the first segment.</param>
    /// <param name="maxOffset">The offset to recover or truncate to; snapshots above it are ignored.</param>
    /// <param name="now">The broker's clock, in milliseconds since 1970.</param>
    /// <returns>The offset from which batches must be applied; equals <see cref="ProducerStateManager.EndOffset"/>.</returns>
    public long Load(ProducerStateManager producers, long logStartOffset, long maxOffset, long now)
    {
        var withoutCompanion = -1L;
        foreach (var offset in List().Where(o => o <= maxOffset && o >= logStartOffset).OrderDescending())
        {
            var outcome = Load(producers, offset, now);
            if (outcome == SnapshotOutcome.Whole)
                return offset;
            // A crash may have torn a snapshot that a roll did not flush. The one before it is then intact, and at most a segment older.
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
                + "damaged: of each producer only the last batch is known.");
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

    /// <summary>Returns the offsets of the existing snapshots, in no particular order.</summary>
    public IReadOnlyList<long> List() => OffsetsOf(Suffix);

    /// <summary>Deletes snapshots below an offset, except the latest of all. Called by retention and delete-records.</summary>
    public void DeleteBefore(long offset)
    {
        var latest = List().DefaultIfEmpty(-1).Max();
        Delete(o => o < offset && o != latest);
    }

    /// <summary>Deletes snapshots above an offset. Called before the log is truncated.</summary>
    public void DeleteAfter(long offset) => Delete(o => o > offset);

    /// <summary>
    /// Deletes snapshots that are neither at one of <paramref name="keep"/> (the segments' base offsets) nor the latest. They are left by
    /// earlier recovery points.
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

/// <summary>An encoded producer snapshot that is not written yet.</summary>
/// <param name="Offset">The snapshot covers all batches below it.</param>
/// <param name="Snapshot">The content of Kafka's file.</param>
/// <param name="Companion">The content of the companion file.</param>
internal sealed record PreparedSnapshot(long Offset, byte[] Snapshot, byte[] Companion);
