using System.Globalization;
using System.Text;
using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Storage;

namespace OrleansMq.Partitions;

/// <summary>The directory of a partition of a known topic.</summary>
/// <param name="TopicPartition">The partition.</param>
/// <param name="TopicId">Its topic's id.</param>
/// <param name="Directory">The directory.</param>
/// <param name="WasOpen">Whether it was part of the store when that last ended, so that a clean end was one of it too.</param>
internal readonly record struct FoundPartition(TopicPartition TopicPartition, Guid TopicId, string Directory, bool WasOpen);

/// <summary>What a start finds.</summary>
/// <param name="Partitions">The partitions of known topics.</param>
/// <param name="IsAll">Whether every partition's directory could be read. The next start may open one that was skipped, which nothing
/// has checked until then.</param>
internal readonly record struct FoundPartitions(IReadOnlyList<FoundPartition> Partitions, bool IsAll);

/// <summary>
/// The directories of partitions below <c>&lt;data&gt;/logs</c>: <c>&lt;topic&gt;-&lt;partition&gt;</c>, each with the topic's id in
/// Kafka's form:
/// <code>
/// partition.metadata:  version: 0\n  topic_id: &lt;the UUID's 16 bytes, most significant first, as base64url without padding&gt;\n
/// </code>
/// A directory that is being deleted ends in <c>.&lt;id&gt;-&lt;number&gt;-delete</c>. A directory of no known topic ends in
/// <c>.&lt;id&gt;-stray</c>, since its records may be missed; a start whose catalogue lists that partition again takes it back. One that
/// another copy has replaced ends in <c>.&lt;id&gt;-replaced</c> and is never touched again.
/// </summary>
internal sealed class PartitionDirectories(IFileSystem files, string root, EngineLog log)
{
    private const string DeleteSuffix = "-delete";
    private const string StraySuffix = "-stray";
    private const string ReplacedSuffix = "-replaced";
    private const int LongestName = 255;

    // Names that are cut may be the same for several partitions.
    private readonly Lock _asideLock = new();

    /// <summary>The directory above them.</summary>
    public string Root { get; } = root;

    /// <summary>Returns a partition's directory.</summary>
    public string PathOf(TopicPartition partition) => Path.Combine(Root, partition.ToString());

    /// <summary>
    /// Finds the partitions of known topics, completes interrupted deletions, takes directories back whose topic is known again, and sets
    /// others aside. A directory that cannot be read stays as it is, and keeps no other from being found.
    /// </summary>
    /// <param name="isKnown">Whether a topic is known.</param>
    /// <param name="isListed">Whether the catalogue lists a partition with that topic id; null if no catalogue was read, and nothing is
    /// taken back.</param>
    public FoundPartitions Find(Func<Guid, bool> isKnown, Func<TopicPartition, Guid, bool>? isListed)
    {
        var found = new List<FoundPartition>();
        var isAll = true;
        // Strays last: what has their name now stays.
        foreach (var name in files.ListDirectories(Root).OrderBy(IsStray))
        {
            try
            {
                if (name.EndsWith(DeleteSuffix, StringComparison.Ordinal))
                    files.DeleteDirectory(Path.Combine(Root, name));
                else if ((IsStray(name) ? TakeBack(name, isListed) : FindOne(name, isKnown)) is { } one)
                    found.Add(one);
            }
            catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
            {
                isAll &= IsStray(name) || name.EndsWith(DeleteSuffix, StringComparison.Ordinal);
                log.Write(EngineLogLevel.Error, $"The directory '{Path.Combine(Root, name)}' cannot be used, and is left as it is: "
                    + $"{fault.Message} If it holds a partition, that is offline. Mend it, and restart the broker.", fault);
            }
        }
        files.FlushDirectory(Root);
        return new FoundPartitions(found, isAll);
    }

    private static bool IsStray(string name) => name.EndsWith(StraySuffix, StringComparison.Ordinal);

    private FoundPartition? FindOne(string name, Func<Guid, bool> isKnown)
    {
        if (!TryParse(name, out var partition))
            return null;
        var path = Path.Combine(Root, name);
        var topicId = ReadTopicId(path);
        if (topicId is { } id && isKnown(id))
            return new FoundPartition(partition, id, path, WasOpen: true);
        SetStrayAside(path, topicId);
        return null;
    }

    // The catalogue was damaged when it was set aside, and is mended. A name of full length may be cut, and show another number.
    private FoundPartition? TakeBack(string name, Func<TopicPartition, Guid, bool>? isListed)
    {
        var stray = Path.Combine(Root, name);
        if (isListed is null || name.Length >= LongestName || ReadTopicId(stray) is not { } id)
            return null;
        var end = name.IndexOf($".{id:N}", StringComparison.Ordinal);
        if (end < 0 || !TryParse(name[..end], out var partition) || !isListed(partition, id) || files.DirectoryExists(PathOf(partition)))
            return null;
        files.MoveDirectory(stray, PathOf(partition));
        log.Write(EngineLogLevel.Warning, $"'{stray}' belongs to a topic that is known again: it was taken back as '{PathOf(partition)}'.");
        return new FoundPartition(partition, id, PathOf(partition), WasOpen: false);
    }

    /// <summary>Creates a partition's directory with its metadata; durable when it returns.</summary>
    public string Create(TopicPartition partition, Guid topicId)
    {
        var path = PathOf(partition);
        // The store holds no partition of this name, so the directory is not in use.
        if (files.DirectoryExists(path))
        {
            if (ReadTopicId(path) is { } before)
                SetAside(partition, before, "was not in use when its partition was created");
            else
                SetStrayAside(path, topicId: null);
        }
        files.CreateDirectory(path);
        AtomicFile.Write(files, Path.Combine(path, LogFiles.Metadata),
            Encoding.ASCII.GetBytes($"version: 0\ntopic_id: {Encode(topicId)}\n"));
        files.FlushDirectory(Root);
        return path;
    }

    /// <summary>
    /// Renames a partition's directory for deletion, durably: a later crash leaves nothing that looks like a partition.
    /// </summary>
    /// <returns>The directory to delete.</returns>
    public string MoveAway(TopicPartition partition, Guid topicId)
    {
        var path = PathOf(partition);
        var dying = WithEnding(path, string.Create(CultureInfo.InvariantCulture, $".{topicId:N}-{partition.Partition}{DeleteSuffix}"));
        files.DeleteDirectory(dying);
        if (files.DirectoryExists(path))
            files.MoveDirectory(path, dying);
        files.FlushDirectory(Root);
        return dying;
    }

    /// <summary>Renames a partition's directory as it is, durably; it is never touched again.</summary>
    /// <param name="partition">The partition, which has ended.</param>
    /// <param name="topicId">Its topic's id.</param>
    /// <param name="why">Follows on the directory's name in the log.</param>
    public void SetAside(TopicPartition partition, Guid topicId, string why)
    {
        var path = PathOf(partition);
        if (!files.DirectoryExists(path))
            return;
        var aside = MoveAside(path, topicId, ReplacedSuffix);
        files.FlushDirectory(Root);
        log.Write(EngineLogLevel.Warning,
            $"'{path}' {why}; it was set aside as '{aside}'. Delete that directory if its records are not needed.");
    }

    private void SetStrayAside(string path, Guid? topicId)
    {
        var holdsNothing = topicId is null && files.ListDirectories(path).Count == 0
            && !files.ListFiles(path).Any(name => name.EndsWith(LogFiles.Log, StringComparison.Ordinal));
        if (holdsNothing)
        {
            // Its creation was interrupted, so it holds no record.
            files.DeleteDirectory(path);
            return;
        }
        var aside = MoveAside(path, topicId, StraySuffix);
        log.Write(EngineLogLevel.Warning, $"'{path}' belongs to no topic of this broker (topic id {topicId?.ToString() ?? "unknown"}); "
            + $"it was set aside as '{aside}'. Delete that directory if its records are not needed.");
    }

    private string MoveAside(string path, Guid? topicId, string suffix)
    {
        var id = topicId?.ToString("N") ?? "unknown";
        lock (_asideLock)
        {
            var free = WithEnding(path, $".{id}{suffix}");
            for (var number = 2; files.DirectoryExists(free); number++)
                free = WithEnding(path, string.Create(CultureInfo.InvariantCulture, $".{id}-{number}{suffix}"));
            files.MoveDirectory(path, free);
            return free;
        }
    }

    // The end of a long topic name is cut, since a directory's name is limited.
    private string WithEnding(string path, string ending)
    {
        var name = Path.GetFileName(path);
        return Path.Combine(Root, string.Concat(name.AsSpan(0, Math.Min(name.Length, LongestName - ending.Length)), ending));
    }

    private Guid? ReadTopicId(string path)
    {
        var bytes = AtomicFile.TryRead(files, Path.Combine(path, LogFiles.Metadata));
        if (bytes is null)
            return null;
        foreach (var line in Encoding.ASCII.GetString(bytes).Split('\n'))
        {
            const string field = "topic_id: ";
            if (line.StartsWith(field, StringComparison.Ordinal) && TryDecode(line[field.Length..].Trim(), out var topicId))
                return topicId;
        }
        return null;
    }

    private static string Encode(Guid topicId)
    {
        Span<byte> bytes = stackalloc byte[16];
        topicId.TryWriteBytes(bytes, bigEndian: true, out _);
        return Convert.ToBase64String(bytes).TrimEnd('=').Replace('+', '-').Replace('/', '_');
    }

    private static bool TryDecode(string text, out Guid topicId)
    {
        Span<byte> bytes = stackalloc byte[18];
        topicId = default;
        if (text.Length != 22 || !Convert.TryFromBase64String(text.Replace('-', '+').Replace('_', '/') + "==", bytes, out var count)
            || count != 16)
            return false;
        topicId = new Guid(bytes[..16], bigEndian: true);
        return true;
    }

    private static bool TryParse(string name, out TopicPartition partition)
    {
        var dash = name.LastIndexOf('-');
        partition = default;
        if (dash <= 0 || !int.TryParse(name.AsSpan(dash + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            return false;
        partition = new TopicPartition(name[..dash], number);
        return partition.ToString() == name;
    }
}
