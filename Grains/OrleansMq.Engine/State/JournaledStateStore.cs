using System.Collections.Concurrent;
using System.Text.Json;
using System.Threading.Channels;
using OrleansMq.Diagnostics;
using OrleansMq.Storage;

namespace OrleansMq.State;

/// <summary>
/// Documents over those of a <see cref="FileStateStore"/> that no other writes. A change is durable in a journal, many with one flush, and
/// there a small difference from the version before. The documents' own files follow when the journal has grown or would take long to read,
/// after a minute, and when the store closes. Until then a read finds the document here. A store that was killed reads its journal again
/// when it opens. Thread safe.
/// </summary>
internal sealed class JournaledStateStore : IStateStore, IAsyncDisposable
{
    /// <summary>The bytes of a journal after which the documents' files follow, without the large documents that its splices are
    /// of.</summary>
    public const int DefaultLimit = 4 << 20;

    /// <summary>The bytes that a start moves for the splices of a journal after which the documents' files follow. A start reads two
    /// journals, unless a checkpoint is slow, and moves some GB a second. A checkpoint costs little beside the changes before it: where a
    /// document has 3 MB they are more than a thousand, and each of them has made the whole document.</summary>
    public const long DefaultMovedLimit = 2L << 30;

    // Times the limits at which changes wait for files that follow too slowly.
    private const int MostLimits = 16;
    // Times the limit that large documents may take besides. Where they reached it alone, checkpoints would follow one another, and each
    // change would be the first of its document in a file.
    private const int MostBases = 4;
    private const int MostAtOnce = 1000;
    private const int MostKeyCharacters = 10_000;

    private readonly IFileSystem _files;
    private readonly string _directory;
    private readonly FileStateStore _store;
    private readonly StateJournal _journal;
    private readonly int _limit;
    private readonly long _movedLimit;
    private readonly TimeSpan _lag;
    private readonly EngineLog _log;
    private readonly Channel<Change> _changes = Channel.CreateUnbounded<Change>(new UnboundedChannelOptions { SingleReader = true });
    // What the files do not have yet.
    private readonly ConcurrentDictionary<string, Entry> _latest = new(StringComparer.Ordinal);
    private readonly Task _run;
    private long _highestDeletedVersion;
    private IOException? _fault;
    private Task _checkpoint = Task.CompletedTask;

    private JournaledStateStore(IFileSystem files, string directory, FileStateStore store, int limit, long movedLimit, TimeSpan lag,
        EngineLog log, Action? begins)
    {
        (_files, _directory, _store, _lag, _log) = (files, directory, store, lag, log);
        (_limit, _movedLimit) = (limit, movedLimit);
        _journal = StateJournal.Open(files, directory, change => Install(change, number: -1), begins);
        if (!_latest.IsEmpty)
            BeginCheckpoint(_journal.Number);
        _run = Task.Run(RunToTheEndAsync);
    }

    /// <summary>Opens the store with what its journal has.</summary>
    /// <param name="files">The disk.</param>
    /// <param name="directory">Where the journal is. It is made with the first change.</param>
    /// <param name="store">The documents' files.</param>
    /// <param name="log">Hears of files that cannot be written.</param>
    /// <param name="limit">The bytes of a journal after which the documents' files follow, without the large documents that its splices
    /// are of.</param>
    /// <param name="lag">How far the documents' files are behind at most, if they can be written; a minute if not given.</param>
    /// <param name="begins">Called before a file of the journal is made, and where there is one already.</param>
    /// <param name="movedLimit">The bytes that a start moves for a journal's splices after which the documents' files follow.</param>
    /// <exception cref="CorruptStateException">The journal is damaged before its end.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static JournaledStateStore Open(IFileSystem files, string directory, FileStateStore store, EngineLog log,
        int limit = DefaultLimit, TimeSpan? lag = null, Action? begins = null, long movedLimit = DefaultMovedLimit) =>
        new(files, directory, store, limit, movedLimit, lag ?? TimeSpan.FromMinutes(1), log, begins);

    /// <inheritdoc/>
    /// <exception cref="CorruptStateException">The document's file is damaged.</exception>
    public ValueTask<StateDocument?> ReadAsync(string key, CancellationToken cancellationToken = default)
    {
        if (!_latest.TryGetValue(key, out var entry))
            return _store.ReadAsync(key, cancellationToken);
        return new(entry.Value is null ? null : new StateDocument(entry.Value, FileStateStore.ETagOf(entry.Version)));
    }

    /// <inheritdoc/>
    /// <exception cref="CorruptStateException">The document's file is damaged.</exception>
    public async ValueTask<string> WriteAsync(string key, ReadOnlyMemory<byte> value, string? etag,
        CancellationToken cancellationToken = default) =>
        FileStateStore.ETagOf(await EnqueueAsync(new Change(key, Json(value), etag, cancellationToken)).ConfigureAwait(false));

    /// <inheritdoc/>
    /// <exception cref="CorruptStateException">The document's file is damaged.</exception>
    public async ValueTask<string> WriteSerializedAsync(string key, byte[] value, string? etag,
        CancellationToken cancellationToken = default) =>
        FileStateStore.ETagOf(await EnqueueAsync(new Change(key, value, etag, cancellationToken)).ConfigureAwait(false));

    /// <inheritdoc/>
    /// <exception cref="CorruptStateException">The document's file is damaged.</exception>
    public async ValueTask DeleteAsync(string key, string? etag, CancellationToken cancellationToken = default) =>
        await EnqueueAsync(new Change(key, null, etag, cancellationToken)).ConfigureAwait(false);

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<string>> ListAsync(string type, CancellationToken cancellationToken = default)
    {
        // Before the files: what leaves here meanwhile is there.
        var here = _latest.Where(entry => FileStateStore.IsOfType(entry.Key, type))
            .ToDictionary(static entry => entry.Key, static entry => entry.Value);
        var keys = await _store.ListAsync(type, cancellationToken).ConfigureAwait(false);
        return [.. keys.Where(key => !here.ContainsKey(key)), .. here.Where(static entry => entry.Value.Value is not null)
            .Select(static entry => entry.Key)];
    }

    /// <summary>Sets a damaged document's file aside. Returns where.</summary>
    public string SetAside(string key) => _store.SetAside(key);

    /// <summary>Closes the store when all changes are made and in their files. What cannot be written stays in the journal.</summary>
    public async ValueTask DisposeAsync()
    {
        if (!_changes.Writer.TryComplete())
            return;
        await _run.ConfigureAwait(false);
        await _checkpoint.ConfigureAwait(false);
        var before = Rotate();
        await Task.Run(() => Checkpoint(before)).ConfigureAwait(false);
        _journal.Dispose();
    }

    private Task<long> EnqueueAsync(Change change)
    {
        FileStateStore.DemandKey(change.Key);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(change.Key.Length, MostKeyCharacters);
        if (_changes.Writer.TryWrite(change))
            return change.Done.Task;
        return Task.FromException<long>(_fault ?? (Exception)new ObjectDisposedException(nameof(JournaledStateStore)));
    }

    // A copy that is known to be JSON: what the documents' files refuse must not be in the journal.
    private static byte[] Json(ReadOnlyMemory<byte> value)
    {
        var reader = new Utf8JsonReader(value.Span);
        while (reader.Read())
        {
        }
        return value.ToArray();
    }

    // What ends the loop fails the changes that wait, and those that come later.
    private async Task RunToTheEndAsync()
    {
        try
        {
            await RunAsync().ConfigureAwait(false);
        }
        catch (Exception fault)
        {
            _log.Write(EngineLogLevel.Error, $"The journal '{_directory}' takes no more changes: restart the broker.", fault);
            _fault = new IOException($"The journal '{_directory}' takes no more changes ({fault.Message}): restart the broker.", fault);
            _changes.Writer.TryComplete();
            while (_changes.Reader.TryRead(out var change))
                change.Done.TrySetException(_fault);
        }
    }

    private async Task RunAsync()
    {
        var batch = new List<Change>();
        var arriving = _changes.Reader.WaitToReadAsync().AsTask();
        // When the files follow next; null while they have everything.
        Task? due = null;
        while (true)
        {
            await (due is null ? (Task)arriving : Task.WhenAny(arriving, due)).ConfigureAwait(false);
            if (due is { IsCompleted: true })
            {
                var isFree = _checkpoint.IsCompleted;
                if (isFree)
                    BeginCheckpoint(Rotate());
                due = isFree ? null : _checkpoint;
            }
            if (!arriving.IsCompleted)
                continue;
            if (!await arriving.ConfigureAwait(false))
                return;
            batch.Clear();
            for (var bytes = 0; bytes < _limit && batch.Count < MostAtOnce && _changes.Reader.TryRead(out var change);)
            {
                batch.Add(change);
                bytes += change.Value?.Length ?? 0;
            }
            await CommitAsync(batch).ConfigureAwait(false);
            if (HasReached(MostLimits))
                await _checkpoint.ConfigureAwait(false);
            due ??= Task.Delay(_lag);
            if ((HasReached(1) || _journal.IsCramped) && _checkpoint.IsCompleted)
            {
                BeginCheckpoint(Rotate());
                due = null;
            }
            arriving = _changes.Reader.WaitToReadAsync().AsTask();
        }
    }

    // Whether the journal has that many times what the files wait for.
    private bool HasReached(int limits) => _journal.MovedBytes >= _movedLimit * limits
        || _journal.Length - Math.Min(_journal.BaseBytes, (long)_limit * MostBases) >= (long)_limit * limits;

    private void BeginCheckpoint(long before) => _checkpoint = Task.Run(() => Checkpoint(before));

    // Returns the number of the file that takes the next change.
    private long Rotate()
    {
        try
        {
            _journal.Rotate();
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            _log.Write(EngineLogLevel.Warning, $"The journal '{_directory}' keeps the room that it does not need: {fault.Message}");
        }
        return _journal.Number;
    }

    private async Task CommitAsync(List<Change> batch)
    {
        var staged = new Dictionary<string, JournaledChange>(StringComparer.Ordinal);
        var changes = new List<JournaledChange>(batch.Count);
        foreach (var change in batch)
        {
            try
            {
                if (Decide(change, staged) is { } next)
                {
                    change.Version = next.Version;
                    staged[change.Key] = next;
                    changes.Add(next);
                }
            }
            catch (Exception refused)
            {
                change.Refused = refused;
            }
        }
        var fault = changes.Count > 0 ? Append(changes) : null;
        if (fault is DiskFullException)
        {
            // The journals themselves give room. A deletion that cannot be stored would keep the disk full.
            await _checkpoint.ConfigureAwait(false);
            Checkpoint(Rotate());
            fault = Append(changes);
            if (fault is DiskFullException)
                fault = AppendForVersionsBefore(changes);
        }
        if (fault is null)
        {
            foreach (var change in staged.Values)
                Install(change, _journal.Number);
        }
        // What was decided on a change of the same batch fails with it.
        foreach (var change in batch)
            change.Tell(staged.ContainsKey(change.Key) ? fault : null);
    }

    // A broker that starts on a full disk has no journal yet, with zeros that a deletion could take.
    private Exception? AppendForVersionsBefore(List<JournaledChange> changes)
    {
        try
        {
            _store.GiveRoom();
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return fault;
        }
        return Append(changes);
    }

    // What the journal's file has last of a document: not what a failed append has written.
    private JournaledChange? FindWritten(string key) => _latest.TryGetValue(key, out var entry) && entry.Number == _journal.Number
        ? new JournaledChange(key, entry.Version, entry.Value) : null;

    private Exception? Append(List<JournaledChange> changes)
    {
        try
        {
            _journal.Append(changes, FindWritten);
            return null;
        }
        catch (Exception fault) // fails the changes that wait
        {
            return fault;
        }
    }

    // Null where there is nothing to delete.
    private JournaledChange? Decide(Change change, Dictionary<string, JournaledChange> staged)
    {
        change.CancellationToken.ThrowIfCancellationRequested();
        var (version, exists) = Current(change.Key, staged);
        if (change.Value is null && !exists)
            return null;
        var stored = exists ? FileStateStore.ETagOf(version) : null;
        if (stored != change.ETag)
            throw new StateConflictException(change.Key, change.ETag, stored);
        if (change.Value is not null)
            version = (exists ? version : Math.Max(version, _highestDeletedVersion)) + 1;
        return new JournaledChange(change.Key, version, change.Value);
    }

    private (long Version, bool Exists) Current(string key, Dictionary<string, JournaledChange> staged)
    {
        if (staged.TryGetValue(key, out var change))
            return (change.Version, change.Value is not null);
        if (_latest.TryGetValue(key, out var entry))
            return (entry.Version, entry.Value is not null);
        return _store.FindVersion(key) is { } version ? (version, true) : (0, false);
    }

    private void Install(JournaledChange change, long number)
    {
        _latest[change.Key] = new Entry(change.Version, change.Value, number);
        if (change.Value is null)
            _highestDeletedVersion = Math.Max(_highestDeletedVersion, change.Version);
    }

    // Writes what the journals before a number have into the documents' files, and deletes those journals.
    private void Checkpoint(long before)
    {
        try
        {
            if (!_files.DirectoryExists(_directory))
                return;
            var entries = _latest.Where(entry => entry.Value.Number < before).ToArray();
            _store.Put([.. entries.Select(static entry => new JournaledChange(entry.Key, entry.Value.Version, entry.Value.Value))]);
            StateJournal.DeleteBefore(_files, _directory, before);
            foreach (var entry in entries)
                _latest.TryRemove(entry);
        }
        catch (Exception fault)
        {
            _log.Write(fault is IOException or UnauthorizedAccessException ? EngineLogLevel.Warning : EngineLogLevel.Error,
                $"Documents stay in the journal '{_directory}', and their files are older: {fault.Message}", fault);
        }
    }

    /// <param name="Version">The document's version.</param>
    /// <param name="Value">The document; null where it was deleted.</param>
    /// <param name="Number">The journal that has it.</param>
    private sealed record Entry(long Version, byte[]? Value, long Number);

    private sealed class Change(string key, byte[]? value, string? etag, CancellationToken cancellationToken)
    {
        public string Key { get; } = key;

        public byte[]? Value { get; } = value;

        public string? ETag { get; } = etag;

        public CancellationToken CancellationToken { get; } = cancellationToken;

        public TaskCompletionSource<long> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public long Version { get; set; }

        public Exception? Refused { get; set; }

        public void Tell(Exception? fault)
        {
            if ((Refused is OperationCanceledException ? Refused : fault ?? Refused) is { } exception)
                Done.TrySetException(exception);
            else
                Done.TrySetResult(Version);
        }
    }
}
