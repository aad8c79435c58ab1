using System.Buffers.Text;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Diagnostics;
using OrleansMq.State;
using OrleansMq.Storage;

namespace OrleansMq.Brokers;

/// <summary>
/// A broker's data directory, opened and locked for this process until it is disposed:
/// <code>
/// meta.json      format version, cluster id, broker id
/// .lock          held while a broker runs; broker.pid says which process that is
/// state/         state documents
/// state-journal/ changes of them that are not in state/ yet
/// logs/          partitions
/// </code>
/// The same in both flavours: what one wrote the other opens.
/// </summary>
internal sealed class DataDirectory : IDisposable
{
    /// <summary>The newest layout that this program reads: one with a journal of state documents, which may have splices. Version 2 has a
    /// journal of whole documents.</summary>
    public const int FormatVersion = 3;

    /// <summary>The layout without a journal, as a clean stop leaves it. Earlier programs read it, too.</summary>
    public const int FormatWithoutJournal = 1;

    private const string MetaFile = "meta.json";
    private const string LockFile = ".lock";
    private const string ProcessIdFile = "broker.pid";

    /// <summary>The end of every refusal: how another directory is chosen.</summary>
    private const string AnotherDirectory = "choose another --data (in code: BrokerOptions.DataDirectory).";

    private readonly IFileSystem _files;
    private readonly IDisposable _lock;
    private DataDirectoryMeta _meta;

    private DataDirectory(IFileSystem files, string path, IDisposable @lock, DataDirectoryMeta meta)
    {
        _files = files;
        _lock = @lock;
        _meta = meta;
        Path = path;
        ClusterId = meta.ClusterId;
        BrokerId = new BrokerId(meta.BrokerId);
    }

    /// <summary>Its full path.</summary>
    public string Path { get; }

    /// <summary>The replicated cluster's name; without replication one made when the directory was first used: a UUID in base64url, 22
    /// characters.</summary>
    public string ClusterId { get; }

    /// <summary>The broker it belongs to.</summary>
    public BrokerId BrokerId { get; }

    /// <summary>Where the state documents are.</summary>
    public string StatePath => StatePathOf(Path);

    // Where their journal is.
    private string StateJournalPath => System.IO.Path.Combine(Path, "state-journal");

    /// <summary>Where the partitions' directories are.</summary>
    public string LogsPath => LogsPathOf(Path);

    /// <summary>Where the state documents of the data directory <paramref name="path"/> are.</summary>
    public static string StatePathOf(string path) => System.IO.Path.Combine(path, "state");

    /// <summary>Where the partitions' directories of the data directory <paramref name="path"/> are.</summary>
    public static string LogsPathOf(string path) => System.IO.Path.Combine(path, "logs");

    /// <summary>Opens a data directory and locks it; creates one that does not exist.</summary>
    /// <param name="files">The disk.</param>
    /// <param name="path">Where.</param>
    /// <param name="brokerId">Whose it must be.</param>
    /// <param name="clusterId">The replicated cluster it must belong to; null for a broker without replication. Neither opens the other's:
    /// its topics' documents are elsewhere, and partitions without a topic are set aside.</param>
    /// <exception cref="DataDirectoryException">Another process uses it, it cannot be written, it is damaged or of a newer format, or it
    /// belongs to another broker or cluster. The message names the path and the fix.</exception>
    public static DataDirectory Open(IFileSystem files, string path, BrokerId brokerId, string? clusterId = null)
    {
        path = System.IO.Path.GetFullPath(path);
        try
        {
            if (files.FileExists(path))
                throw new DataDirectoryException($"'{path}' is a file: " + AnotherDirectory);
            DurableDirectory.Create(files, path);
            var held = files.TryLock(System.IO.Path.Combine(path, LockFile)) ?? throw InUse(files, path);
            try
            {
                WriteProcessId(files, path);
                var meta = ReadOrCreateMeta(files, path, brokerId, clusterId);
                DurableDirectory.Create(files, LogsPathOf(path));
                return new DataDirectory(files, path, held, meta);
            }
            catch
            {
                held.Dispose();
                throw;
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new DataDirectoryException(exception is DiskFullException
                ? exception.Message
                : $"The data directory '{path}' cannot be used: {exception.Message} Let this user read and write it, or "
                    + AnotherDirectory, exception);
        }
    }

    /// <summary>Opens the state documents: changes are in a journal first, many with one flush. Dispose it before the directory.</summary>
    /// <param name="log">Hears of files that cannot be written.</param>
    /// <exception cref="CorruptStateException">The journal is damaged before its end.</exception>
    /// <exception cref="IOException">They cannot be read.</exception>
    public JournaledStateStore OpenState(EngineLog log) =>
        JournaledStateStore.Open(_files, StateJournalPath, FileStateStore.Open(_files, StatePath), log, begins: NoteJournal);

    /// <summary>The journal begins: until it is empty, programs that would not read it refuse the directory.</summary>
    /// <exception cref="IOException">The format version cannot be written.</exception>
    public void NoteJournal()
    {
        try
        {
            WriteFormat(FormatVersion);
        }
        catch (DiskFullException)
        {
            // A change may give room, and is not refused for the sake of earlier programs. The next file of the journal tries again.
        }
    }

    private void WriteFormat(int version)
    {
        if (_meta.FormatVersion == version)
            return;
        var meta = _meta with { FormatVersion = version };
        Write(_files, Path, meta);
        _meta = meta;
    }

    /// <summary>Unlocks it. Where the journal is empty, earlier programs may open it.</summary>
    public void Dispose()
    {
        try
        {
            if (StateJournal.IsEmpty(_files, StateJournalPath))
                WriteFormat(FormatWithoutJournal);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // This program opens it all the same.
        }
        try
        {
            _files.DeleteFile(System.IO.Path.Combine(Path, ProcessIdFile));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // Only a note for people: the lock itself ends below.
        }
        _lock.Dispose();
    }

    private static DataDirectoryException InUse(IFileSystem files, string path)
    {
        var holder = AtomicFile.TryRead(files, System.IO.Path.Combine(path, ProcessIdFile));
        var pid = holder is null ? "" : $" (pid {Encoding.ASCII.GetString(holder).Trim()})";
        return new DataDirectoryException($"The data directory '{path}' is in use: another broker{pid} is using it. Stop it, or "
            + AnotherDirectory);
    }

    // Also shows that the directory can be written. A disk without room does not keep a broker from reading what it has.
    private static void WriteProcessId(IFileSystem files, string path)
    {
        try
        {
            AtomicFile.Write(files, System.IO.Path.Combine(path, ProcessIdFile),
                Encoding.ASCII.GetBytes(Environment.ProcessId.ToString(CultureInfo.InvariantCulture) + "\n"), durable: false);
        }
        catch (DiskFullException)
        {
            files.DeleteFile(System.IO.Path.Combine(path, ProcessIdFile));
        }
    }

    /// <summary>Checks the broker and the cluster of a data directory, where there is one, without opening it.</summary>
    /// <param name="files">The disk.</param>
    /// <param name="path">Where.</param>
    /// <param name="brokerId">The broker that it must be of.</param>
    /// <param name="clusterId">As of <see cref="Open"/>.</param>
    /// <exception cref="DataDirectoryException">It belongs to another broker or cluster, or is damaged or of a newer format.</exception>
    public static void CheckOwner(IFileSystem files, string path, BrokerId brokerId, string? clusterId)
    {
        path = System.IO.Path.GetFullPath(path);
        var metaPath = System.IO.Path.Combine(path, MetaFile);
        if (AtomicFile.TryRead(files, metaPath) is { } bytes)
            CheckCluster(Check(Parse(bytes, metaPath), path, metaPath, brokerId), path, clusterId);
    }

    private static DataDirectoryMeta ReadOrCreateMeta(IFileSystem files, string path, BrokerId brokerId, string? clusterId)
    {
        var metaPath = System.IO.Path.Combine(path, MetaFile);
        if (AtomicFile.TryRead(files, metaPath) is { } bytes)
            return CheckCluster(Check(Parse(bytes, metaPath), path, metaPath, brokerId), path, clusterId);
        if (files.DirectoryExists(LogsPathOf(path)) && files.ListDirectories(LogsPathOf(path)).Count > 0)
            throw new DataDirectoryException($"'{metaPath}' is missing, but there are partitions beside it. Restore the file from a "
                + "backup, or " + AnotherDirectory);
        var meta = new DataDirectoryMeta(FormatWithoutJournal, clusterId ?? NewClusterId(), brokerId.Value,
            Replicated: clusterId is not null);
        Write(files, path, meta);
        return meta;
    }

    private static void Write(IFileSystem files, string path, DataDirectoryMeta meta) => AtomicFile.Write(files,
        System.IO.Path.Combine(path, MetaFile), JsonSerializer.SerializeToUtf8Bytes(meta, DataDirectoryJson.Default.DataDirectoryMeta));

    private static DataDirectoryMeta Parse(byte[] bytes, string metaPath)
    {
        try
        {
            return JsonSerializer.Deserialize(bytes, DataDirectoryJson.Default.DataDirectoryMeta) ?? throw new JsonException("It is null.");
        }
        catch (JsonException exception)
        {
            throw new DataDirectoryException($"'{metaPath}' is damaged: {exception.Message} Restore it from a backup, or "
                + AnotherDirectory, exception);
        }
    }

    private static DataDirectoryMeta Check(DataDirectoryMeta meta, string path, string metaPath, BrokerId brokerId)
    {
        if (meta.FormatVersion > FormatVersion)
            throw new DataDirectoryException(
                $"The data directory '{path}' has format version {meta.FormatVersion}, this program reads up to {FormatVersion}. "
                    + "Start the newer version that wrote it, or " + AnotherDirectory);
        if (meta.FormatVersion < 1 || string.IsNullOrEmpty(meta.ClusterId))
            throw new DataDirectoryException($"'{metaPath}' is damaged: it has no format version or no cluster id. Restore it from a "
                + "backup, or " + AnotherDirectory);
        if (meta.BrokerId != brokerId.Value)
            throw new DataDirectoryException(
                $"The data directory '{path}' belongs to broker {meta.BrokerId}, and this is broker {brokerId}. Start with "
                    + $"--broker-id {meta.BrokerId} (in code: BrokerOptions.BrokerId), or " + AnotherDirectory);
        return meta;
    }

    private static DataDirectoryMeta CheckCluster(DataDirectoryMeta meta, string path, string? clusterId)
    {
        if (meta.Replicated && clusterId is null)
            throw new DataDirectoryException($"The data directory '{path}' belongs to a broker of the replicated cluster "
                + $"'{meta.ClusterId}', and this broker is "
                + $"in none. Start with --postgres \"Host=...\" --cluster-id {meta.ClusterId}, or " + AnotherDirectory);
        if (!meta.Replicated && clusterId is not null)
            throw new DataDirectoryException($"The data directory '{path}' holds the topics of a broker without replication, and this "
                + "broker is a member of "
                + $"cluster '{clusterId}'. Start without --postgres, or " + AnotherDirectory);
        if (clusterId is not null && meta.ClusterId != clusterId)
            throw new DataDirectoryException($"The data directory '{path}' belongs to cluster '{meta.ClusterId}', and this is cluster "
                + $"'{clusterId}'. Start with "
                + $"--cluster-id {meta.ClusterId}, or " + AnotherDirectory);
        return meta;
    }

    // Not one that begins with '-': command lines take that for an option.
    private static string NewClusterId()
    {
        string id;
        do
            id = Base64Url.EncodeToString(Guid.NewGuid().ToByteArray(bigEndian: true));
        while (id[0] == '-');
        return id;
    }
}

/// <summary><c>meta.json</c>.</summary>
internal sealed record DataDirectoryMeta(int FormatVersion, string ClusterId, int BrokerId,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)] bool Replicated = false);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(DataDirectoryMeta))]
internal sealed partial class DataDirectoryJson : JsonSerializerContext;
