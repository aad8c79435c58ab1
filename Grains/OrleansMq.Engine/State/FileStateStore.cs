using System.Globalization;
using System.Text.Json;
using OrleansMq.Storage;

namespace OrleansMq.State;

/// <summary>
/// State documents as files: <c>&lt;directory&gt;/&lt;type&gt;/&lt;name&gt;.json</c>, one file per document, replaced atomically (temporary
/// file, flush, rename, flush of the directory). The version before stays beside it while the disk has room, for people to go back to by
/// hand. The store itself never goes back to it, which would take back what was told. For one process at a time, which the data directory's
/// lock ensures.
/// Thread-safe; of concurrent writers with the same etag exactly one succeeds.
/// </summary>
internal sealed class FileStateStore : IStateStore
{
    // Writers of one key take turns. The number of locks makes collisions of different keys rare.
    private const int LockStripes = 64;
    private const string DamagedSuffix = ".damaged";
    // Short: the longest names leave no room for more.
    private const string PreviousSuffix = ".old";

    private readonly IFileSystem _files;
    private readonly string _directory;
    private readonly Lock[] _locks = [.. Enumerable.Range(0, LockStripes).Select(_ => new Lock())];
    // A document that is deleted and created again continues from this version, so that an etag from before the delete never matches the
    // new one.
    private long _highestDeletedVersion;

    private FileStateStore(IFileSystem files, string directory)
    {
        _files = files;
        _directory = directory;
    }

    /// <summary>Opens the store, creates its directory if needed, and removes incomplete files of a crash.</summary>
    /// <exception cref="IOException">The directory is not usable.</exception>
    public static FileStateStore Open(IFileSystem files, string directory)
    {
        DurableDirectory.Create(files, directory);
        foreach (var type in files.ListDirectories(directory))
        {
            var folder = Path.Combine(directory, type);
            foreach (var name in files.ListFiles(folder).Where(name => name.EndsWith(AtomicFile.TemporarySuffix, StringComparison.Ordinal)))
                files.DeleteFile(Path.Combine(folder, name));
        }
        return new FileStateStore(files, directory);
    }

    /// <inheritdoc/>
    /// <exception cref="CorruptStateException">The document's file is damaged.</exception>
    public ValueTask<StateDocument?> ReadAsync(string key, CancellationToken cancellationToken = default)
    {
        var path = PathOf(key);
        return new ValueTask<StateDocument?>(Task.Run(
            () => Find(path) is { } found ? new StateDocument(found.Value, ETagOf(found.Version)) : null, cancellationToken));
    }

    /// <inheritdoc/>
    /// <exception cref="CorruptStateException">The document's file is damaged.</exception>
    public ValueTask<string> WriteAsync(string key, ReadOnlyMemory<byte> value, string? etag, CancellationToken cancellationToken = default)
    {
        var path = PathOf(key);
        // In order of arrival, so that a writer in a loop cannot starve the others.
        return new ValueTask<string>(Task.Factory.StartNew(() =>
        {
            lock (LockOf(path))
                return Write(key, path, value, etag);
        }, cancellationToken, TaskCreationOptions.PreferFairness, TaskScheduler.Default));
    }

    private string Write(string key, string path, ReadOnlyMemory<byte> value, string? etag)
    {
        var stored = Find(path);
        ThrowIfOther(key, etag, stored);
        DurableDirectory.Create(_files, Path.GetDirectoryName(path)!);
        var version = (stored?.Version ?? Volatile.Read(ref _highestDeletedVersion)) + 1;
        Replace(path, stored, new StateEnvelope(version, Split(key).Name, value), flushesDirectory: true);
        return ETagOf(version);
    }

    /// <summary>Whether a key is of a type.</summary>
    public static bool IsOfType(string key, string type) =>
        key.Length > type.Length && key[type.Length] == '/' && key.StartsWith(type, StringComparison.Ordinal);

    /// <summary>Throws unless a key is of the form <c>type/name</c>.</summary>
    /// <exception cref="ArgumentException">It is not.</exception>
    public static void DemandKey(string key) => Split(key);

    /// <summary>Returns the version of a document; null if there is none.</summary>
    /// <exception cref="CorruptStateException">The document's file is damaged.</exception>
    public long? FindVersion(string key) => Find(PathOf(key))?.Version;

    /// <summary>Writes documents with their versions, and deletes those without a value, whatever is stored. All are durable when this
    /// returns; after an exception those are that can be. A damaged file is set aside.</summary>
    /// <exception cref="IOException">A file cannot be written.</exception>
    public void Put(IReadOnlyList<JournaledChange> changes)
    {
        Exception? fault = null;
        // Deletions first: they give room.
        foreach (var group in changes.GroupBy(change => (IsWrite: change.Value is not null, Folder: Path.GetDirectoryName(
            PathOf(change.Key))!)).OrderBy(static group => group.Key.IsWrite))
        {
            Try(() => DurableDirectory.Create(_files, group.Key.Folder));
            foreach (var (key, version, value) in group)
                Try(() => Put(key, PathOf(key), version, value));
            Try(() => _files.FlushDirectory(group.Key.Folder));
        }
        if (fault is not null)
            throw new IOException(fault.Message, fault);

        void Try(Action step)
        {
            try
            {
                step();
            }
            catch (Exception failed) when (failed is IOException or UnauthorizedAccessException)
            {
                fault ??= failed;
            }
        }
    }

    /// <summary>Gives up the versions before, for room on a full disk.</summary>
    public void GiveRoom()
    {
        foreach (var type in _files.ListDirectories(_directory))
        {
            var folder = Path.Combine(_directory, type);
            foreach (var name in _files.ListFiles(folder).Where(name => name.EndsWith(PreviousSuffix, StringComparison.Ordinal)))
                _files.DeleteFile(Path.Combine(folder, name));
        }
    }

    private void Put(string key, string path, long version, byte[]? value)
    {
        lock (LockOf(path))
        {
            if (value is null)
                DeleteFiles(path);
            else
                Replace(path, FindWhole(key, path), new StateEnvelope(version, Split(key).Name, value), flushesDirectory: false);
        }
    }

    private StateEnvelope? FindWhole(string key, string path)
    {
        try
        {
            return Find(path);
        }
        catch (CorruptStateException)
        {
            SetAside(key);
            return null;
        }
    }

    private void DeleteFiles(string path)
    {
        _files.DeleteFile(path + PreviousSuffix);
        _files.DeleteFile(path);
    }

    private void Replace(string path, in StateEnvelope? stored, in StateEnvelope next, bool flushesDirectory)
    {
        if (stored is { } before)
            KeepPrevious(path, before);
        var content = next.ToBytes();
        try
        {
            AtomicFile.Write(_files, path, content, flushesDirectory: flushesDirectory);
        }
        catch (DiskFullException) when (TryGiveRoom(path))
        {
            // The version before takes about as much. A deletion that cannot be stored would keep the disk full.
            AtomicFile.Write(_files, path, content, flushesDirectory: flushesDirectory);
        }
    }

    // Gives up the version before, with what the failed writes left.
    private bool TryGiveRoom(string path)
    {
        try
        {
            _files.DeleteFile(path + PreviousSuffix + AtomicFile.TemporarySuffix);
            _files.DeleteFile(path + PreviousSuffix);
            _files.DeleteFile(path + AtomicFile.TemporarySuffix);
            return true;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    // Not durable: it is for the day on which the file itself is damaged. It must not stand in the way of the write.
    private void KeepPrevious(string path, in StateEnvelope before)
    {
        try
        {
            AtomicFile.Write(_files, path + PreviousSuffix, before.ToBytes(), durable: false);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            // The one before that stays.
        }
    }

    /// <inheritdoc/>
    /// <exception cref="CorruptStateException">The document's file is damaged.</exception>
    public ValueTask DeleteAsync(string key, string? etag, CancellationToken cancellationToken = default)
    {
        var path = PathOf(key);
        return new ValueTask(Task.Run(() =>
        {
            lock (LockOf(path))
                Delete(key, path, etag);
        }, cancellationToken));
    }

    private void Delete(string key, string path, string? etag)
    {
        if (Find(path) is not { } stored)
            return;
        ThrowIfOther(key, etag, stored);
        long highest;
        while ((highest = Volatile.Read(ref _highestDeletedVersion)) < stored.Version
            && Interlocked.CompareExchange(ref _highestDeletedVersion, stored.Version, highest) != highest)
        {
            // Another delete came in between: retry.
        }
        DeleteFiles(path);
        _files.FlushDirectory(Path.GetDirectoryName(path)!);
    }

    /// <inheritdoc/>
    /// <exception cref="CorruptStateException">The file of a document with a very long name is damaged.</exception>
    public ValueTask<IReadOnlyList<string>> ListAsync(string type, CancellationToken cancellationToken = default) =>
        new(Task.Run<IReadOnlyList<string>>(() => List(type), cancellationToken));

    /// <summary>Renames the file of a damaged document, as it is: the document is missing from now on.</summary>
    /// <returns>The file's new path.</returns>
    public string SetAside(string key)
    {
        var path = PathOf(key);
        lock (LockOf(path))
        {
            var aside = path + DamagedSuffix;
            for (var number = 2; _files.FileExists(aside); number++)
                aside = string.Create(CultureInfo.InvariantCulture, $"{path}.{number}{DamagedSuffix}");
            _files.MoveFile(path, aside);
            _files.FlushDirectory(Path.GetDirectoryName(path)!);
            return aside;
        }
    }

    private List<string> List(string type)
    {
        var folder = Path.Combine(_directory, StateFileName.Escape(type));
        var keys = new List<string>();
        if (!_files.DirectoryExists(folder))
            return keys;
        foreach (var file in _files.ListFiles(folder))
        {
            if (!file.EndsWith(StateFileName.Suffix, StringComparison.Ordinal))
                continue;
            var name = StateFileName.Unescape(file[..^StateFileName.Suffix.Length]) ?? Find(Path.Combine(folder, file))?.Name;
            if (name is not null)
                keys.Add($"{type}/{name}");
        }
        return keys;
    }

    private StateEnvelope? Find(string path)
    {
        try
        {
            return AtomicFile.TryRead(_files, path) is { } bytes ? StateEnvelope.Parse(bytes) : null;
        }
        catch (FileNotFoundException)
        {
            return null; // Deleted between the check and the read.
        }
        catch (JsonException exception)
        {
            throw new CorruptStateException(path, exception, FindPrevious(path));
        }
    }

    // The path of the version before, if that is whole.
    private string? FindPrevious(string path)
    {
        try
        {
            if (AtomicFile.TryRead(_files, path + PreviousSuffix) is not { } bytes)
                return null;
            StateEnvelope.Parse(bytes);
            return path + PreviousSuffix;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }

    private static void ThrowIfOther(string key, string? etag, StateEnvelope? stored)
    {
        var storedETag = stored is { } found ? ETagOf(found.Version) : null;
        if (storedETag != etag)
            throw new StateConflictException(key, etag, storedETag);
    }

    private Lock LockOf(string path) => _locks[(uint)string.GetHashCode(path, StringComparison.Ordinal) % LockStripes];

    private string PathOf(string key)
    {
        var (type, name) = Split(key);
        return Path.Combine(_directory, StateFileName.Escape(type), StateFileName.Escape(name) + StateFileName.Suffix);
    }

    private static (string Type, string Name) Split(string key)
    {
        var slash = key.IndexOf('/');
        return slash > 0 && slash < key.Length - 1
            ? (key[..slash], key[(slash + 1)..])
            : throw new ArgumentException($"A state key is 'type/name', not '{key}'.", nameof(key));
    }

    /// <summary>Returns the etag of a document with that version.</summary>
    public static string ETagOf(long version) => version.ToString(CultureInfo.InvariantCulture);
}

/// <summary>A state document's file is damaged.</summary>
internal sealed class CorruptStateException(string path, Exception inner, string? previous = null)
    : IOException($"The state file '{path}' is damaged: {inner.Message.TrimEnd('.')}. Restore it from a backup, or move it away to go on "
        + "without what it held." + (previous is null ? "" : $" The version before it is '{previous}': moved in its place, it takes back "
        + "the last change."), inner)
{
    /// <summary>The damaged file.</summary>
    public string Path { get; } = path;

    /// <summary>The file of the version before; null if there is none.</summary>
    public string? Previous { get; } = previous;
}
