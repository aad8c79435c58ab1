using System.Globalization;
using System.Text;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>A leader epoch and its first offset.</summary>
/// <param name="Epoch">0 or above.</param>
/// <param name="StartOffset">The log end when the epoch began.</param>
internal readonly record struct LeaderEpochEntry(int Epoch, long StartOffset);

/// <summary>
/// The leader epoch of every offset: the history that replicas compare to find where they diverge (KIP-101, KIP-279). Epochs and start
/// offsets both rise strictly. Stored in <c>leader-epoch-checkpoint</c>, in Kafka's text form:
/// <code>
/// 0                  version
/// 2                  how many lines follow
/// 0 0                epoch, start offset
/// 3 4711
/// </code>
/// Every change is durable before it is visible. Thread safe.
/// </summary>
internal sealed class LeaderEpochCache
{
    /// <summary>The file's name in the partition's directory.</summary>
    public const string FileName = "leader-epoch-checkpoint";
    /// <summary>No epoch and no offset.</summary>
    public static readonly LeaderEpochEntry None = new(-1, -1);

    private readonly Lock _lock = new();
    private readonly IFileSystem _fileSystem;
    private readonly string _path;
    private LeaderEpochEntry[] _entries;

    private LeaderEpochCache(IFileSystem fileSystem, string path, LeaderEpochEntry[] entries)
    {
        _fileSystem = fileSystem;
        _path = path;
        _entries = entries;
    }

    /// <summary>Reads the checkpoint of a partition's directory; without one the cache is empty.</summary>
    /// <exception cref="InvalidDataException">The file is damaged; the message names it and the line.</exception>
    public static LeaderEpochCache Open(IFileSystem fileSystem, string partitionDirectory)
    {
        var path = Path.Combine(partitionDirectory, FileName);
        var bytes = AtomicFile.TryRead(fileSystem, path);
        return new LeaderEpochCache(fileSystem, path, bytes is null ? [] : Parse(path, Encoding.ASCII.GetString(bytes)));
    }

    /// <summary>Replaces the checkpoint of a partition's directory, durably.</summary>
    internal static LeaderEpochCache Create(IFileSystem fileSystem, string partitionDirectory, LeaderEpochEntry[] entries)
    {
        var cache = new LeaderEpochCache(fileSystem, Path.Combine(partitionDirectory, FileName), []);
        cache.Store(entries);
        return cache;
    }

    /// <summary>All entries, oldest first.</summary>
    public IReadOnlyList<LeaderEpochEntry> Entries => Volatile.Read(ref _entries);

    /// <summary>The latest epoch with its start; <see cref="None"/> if there is none.</summary>
    public LeaderEpochEntry Latest => Volatile.Read(ref _entries) is [.., var last] ? last : None;

    /// <summary>
    /// Records that <paramref name="epoch"/> begins at <paramref name="startOffset"/>. A known epoch, or one older than the latest, changes
    /// nothing. An epoch without records (it began at or after this start) is dropped.
    /// </summary>
    /// <returns>Whether the cache changed.</returns>
    public bool Assign(int epoch, long startOffset)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(epoch);
        ArgumentOutOfRangeException.ThrowIfNegative(startOffset);
        lock (_lock)
        {
            if (epoch <= Latest.Epoch)
                return false;
            Store([.. _entries.Where(e => e.StartOffset < startOffset), new LeaderEpochEntry(epoch, startOffset)]);
            return true;
        }
    }

    /// <summary>
    /// Finds the end of an epoch, as a follower asks for its own latest one. Returns the largest epoch at or below
    /// <paramref name="epoch"/>, with the start of the next epoch, or with the log end for the latest. Returns <see cref="None"/> for an
    /// epoch above the latest, or if the cache is empty. For an epoch below all known ones, returns that epoch with the start of the first.
    /// </summary>
    /// <returns><see cref="LeaderEpochEntry.StartOffset"/> has the end offset.</returns>
    public LeaderEpochEntry EndOffsetFor(int epoch, long logEndOffset)
    {
        var entries = Volatile.Read(ref _entries);
        if (entries.Length == 0 || epoch > entries[^1].Epoch)
            return None;
        if (epoch == entries[^1].Epoch)
            return new LeaderEpochEntry(epoch, logEndOffset);
        var next = Array.FindIndex(entries, e => e.Epoch > epoch);
        return next == 0
            ? new LeaderEpochEntry(epoch, entries[0].StartOffset)
            : new LeaderEpochEntry(entries[next - 1].Epoch, entries[next].StartOffset);
    }

    /// <summary>Returns the epoch of an offset; -1 if the offset is below all known epochs.</summary>
    public int EpochOf(long offset)
    {
        var entries = Volatile.Read(ref _entries);
        var index = Array.FindLastIndex(entries, e => e.StartOffset <= offset);
        return index < 0 ? -1 : entries[index].Epoch;
    }

    /// <summary>Drops epochs that began at or after the log's new end, after a truncation.</summary>
    public void TruncateFromEnd(long endOffset)
    {
        lock (_lock)
        {
            if (_entries is [.., var last] && last.StartOffset >= endOffset)
                Store([.. _entries.Where(e => e.StartOffset < endOffset)]);
        }
    }

    /// <summary>Drops epochs that ended before the log's new start. The epoch that contains it now begins there.</summary>
    public void TruncateFromStart(long startOffset)
    {
        lock (_lock)
        {
            var current = Array.FindLastIndex(_entries, e => e.StartOffset <= startOffset);
            if (current < 0 || (current == 0 && _entries[0].StartOffset == startOffset))
                return;
            Store([_entries[current] with { StartOffset = startOffset }, .. _entries.AsSpan(current + 1)]);
        }
    }

    /// <summary>Drops all entries, since the log was emptied.</summary>
    public void Clear()
    {
        lock (_lock)
        {
            if (_entries.Length > 0)
                Store([]);
        }
    }

    private void Store(LeaderEpochEntry[] entries)
    {
        var text = new StringBuilder().Append(CultureInfo.InvariantCulture, $"0\n{entries.Length}\n");
        foreach (var entry in entries)
            text.Append(CultureInfo.InvariantCulture, $"{entry.Epoch} {entry.StartOffset}\n");
        AtomicFile.Write(_fileSystem, _path, Encoding.ASCII.GetBytes(text.ToString()));
        Volatile.Write(ref _entries, entries);
    }

    private static LeaderEpochEntry[] Parse(string path, string text)
    {
        var lines = text.Split('\n', StringSplitOptions.TrimEntries);
        if (lines[0] != "0")
            throw Damaged(path, 1, "the version '0'");
        if (lines.Length < 2 || !int.TryParse(lines[1], NumberStyles.None, CultureInfo.InvariantCulture, out var count))
            throw Damaged(path, 2, "the number of entries");
        var entries = new List<LeaderEpochEntry>();
        for (var i = 2; i < lines.Length && lines[i].Length > 0; i++)
        {
            var fields = lines[i].Split(' ');
            if (fields.Length != 2 || !int.TryParse(fields[0], NumberStyles.None, CultureInfo.InvariantCulture, out var epoch)
                || !long.TryParse(fields[1], NumberStyles.None, CultureInfo.InvariantCulture, out var startOffset))
                throw Damaged(path, i + 1, "'<epoch> <start offset>'");
            if (entries is [.., var last] && (epoch <= last.Epoch || startOffset <= last.StartOffset))
                throw Damaged(path, i + 1, "an epoch and an offset above those of the line before");
            entries.Add(new LeaderEpochEntry(epoch, startOffset));
        }
        return entries.Count == count ? [.. entries] : throw Damaged(path, 2, $"the number of entries that follow ({entries.Count})");
    }

    private static InvalidDataException Damaged(string path, int line, string expected) =>
        new($"'{path}' is damaged: line {line} should hold {expected}.");
}
