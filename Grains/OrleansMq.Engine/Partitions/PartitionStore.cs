using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using OrleansMq.Diagnostics;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Partitions;

/// <summary>
/// All partitions of one broker: opens them from the data directory, creates and deletes them, and runs what they share (append threads,
/// file handle cache, <see cref="MaintenanceSchedule"/>, <see cref="CompactionSchedule"/>, free-space guard). One per broker.
/// </summary>
internal sealed class PartitionStore : IAsyncDisposable
{
    private const string LogsDirectory = "logs";
    private const string CleanShutdownMarker = "clean-shutdown";

    private readonly PartitionStoreOptions _options;
    private readonly IFileSystem _files;
    private readonly PartitionPorts _ports;
    private readonly PartitionDirectories _directories;
    private readonly ConcurrentDictionary<TopicPartition, Partition> _partitions = new();
    private readonly MaintenanceSchedule _maintenance;
    private readonly CompactionSchedule _compaction;
    // Guard the creation and the removal of each name: many partitions are created at once, since their flushes share the disk's time.
    private readonly StripedLock<TopicPartition> _nameLocks = new();
    private bool _foundAll;
    private volatile bool _disposed;

    private PartitionStore(PartitionStoreOptions options)
    {
        _options = options;
        _ports = new PartitionPorts(options);
        _files = _ports.Log.Files;
        _directories = new PartitionDirectories(_files, Path.Combine(options.DataDirectory, LogsDirectory), options.Log);
        _maintenance = new MaintenanceSchedule(options, _ports, _partitions);
        _compaction = new CompactionSchedule(options, _ports, _partitions);
    }

    /// <summary>
    /// Recovers every partition in the data directory. The host has opened and locked the directory before (<c>DataDirectory.Open</c>),
    /// since it answers <paramref name="findConfig"/> from the topics' documents there. A partition that cannot be recovered is offline,
    /// not missing.
    /// </summary>
    /// <param name="options">The directory, the ports and the limits.</param>
    /// <param name="findConfig">Returns the configuration for a topic id; null for an unknown topic, whose directory is set aside.</param>
    /// <param name="isListed">Whether the catalogue lists a partition with that topic id: its directory is taken back if it was set aside.
    /// Null if no catalogue was read.</param>
    /// <param name="cancellationToken">Stops the recovery.</param>
    public static async Task<PartitionStore> OpenAsync(PartitionStoreOptions options, Func<Guid, TopicConfig?> findConfig,
        Func<TopicPartition, Guid, bool>? isListed = null, CancellationToken cancellationToken = default)
    {
        var store = new PartitionStore(options);
        try
        {
            await Task.Run(() => store.OpenAll(findConfig, isListed, cancellationToken), cancellationToken).ConfigureAwait(false);
        }
        catch (Exception)
        {
            // Cancelled, or the data directory failed. The next start can read all that was changed.
            foreach (var partition in store._partitions.Values)
                partition.Log?.CloseFiles();
            throw;
        }
        store._maintenance.Start();
        store._compaction.Start();
        return store;
    }

    /// <summary>What the partitions share.</summary>
    internal PartitionPorts Ports => _ports;

    /// <summary>All partitions, online or not.</summary>
    public IReadOnlyCollection<Partition> Partitions => (IReadOnlyCollection<Partition>)_partitions.Values;

    /// <summary>The highest id below <see cref="ProducerIdState.MadeUpFrom"/> of a producer that a partition remembers; -1 for
    /// none.</summary>
    public long HighestProducerId =>
        _partitions.Values.Max(partition => partition.Log?.HighestProducerIdBelow(ProducerIdState.MadeUpFrom)) ?? -1;

    /// <summary>Begins the cursors in the logs of a broker that leads them all: what was decided before the start is carried out.</summary>
    internal void BeginCursors()
    {
        foreach (var partition in _partitions.Values)
            partition.BeginKnownCursors();
    }

    /// <summary>Returns the partition with this topic id; creates it with its directory if there is none.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InconsistentTopicId"/>: a partition of that name belongs to another topic
    /// id.</exception>
    public Partition GetOrCreate(TopicPartition partition, Guid topicId, TopicConfig config)
    {
        if (TryGet(partition, out var found))
            return SameTopic(found, topicId);
        lock (_nameLocks.Of(partition))
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (TryGet(partition, out found))
                return SameTopic(found, topicId);
            try
            {
                var directory = _directories.Create(partition, topicId);
                found = Partition.Open(partition, topicId, directory, _ports, config, clean: false);
            }
            catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
            {
                throw new BrokerException(ErrorCode.KafkaStorageError, StorageFaults.Describe(_directories.PathOf(partition), fault),
                    fault);
            }
            _partitions[partition] = found;
            return found;
        }
    }

    /// <summary><see cref="GetOrCreate"/> on a thread that may block; many at once.</summary>
    /// <exception cref="BrokerException">As there.</exception>
    public Task<Partition> GetOrCreateAsync(TopicPartition partition, Guid topicId, TopicConfig config) =>
        _ports.Creation.RunAsync(() => GetOrCreate(partition, topicId, config));

    /// <summary>Finds a partition of this broker.</summary>
    public bool TryGet(TopicPartition partition, [NotNullWhen(true)] out Partition? found) => _partitions.TryGetValue(partition, out found);

    /// <summary>
    /// Stops the partition, fails its waiters with <see cref="ErrorCode.UnknownTopicOrPartition"/> and frees its disk space. Until then no
    /// other partition takes its name. After a failure it may be called again.
    /// </summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>: the directory could not be removed.</exception>
    public async Task DeleteAsync(TopicPartition partition)
    {
        if (!_partitions.TryGetValue(partition, out var found))
            return;
        await found.AbandonAsync().ConfigureAwait(false);
        try
        {
            await _ports.Creation.RunAsync(() => RemoveDirectory(found)).ConfigureAwait(false);
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            throw new BrokerException(ErrorCode.KafkaStorageError, StorageFaults.Describe(_directories.PathOf(partition), fault), fault);
        }
    }

    /// <summary>Ends a partition and sets its directory aside, as it is. After a failure it may be called again.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>: the directory could not be moved.</exception>
    internal async Task SetAsideAsync(Partition partition, string why)
    {
        await partition.AbandonAsync().ConfigureAwait(false);
        try
        {
            await Task.Run(() => SetAside(partition, why)).ConfigureAwait(false);
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            throw new BrokerException(ErrorCode.KafkaStorageError,
                StorageFaults.Describe(_directories.PathOf(partition.TopicPartition), fault), fault);
        }
    }

    /// <summary>Ends a partition, and opens its directory as a restart of the broker would. The partition has ceased to write: its log
    /// could not be opened, or is frozen.</summary>
    /// <returns>Null if there is another partition of its name by now, or none.</returns>
    internal async Task<Partition?> ReopenAsync(Partition partition, TopicConfig config)
    {
        await partition.AbandonAsync().ConfigureAwait(false);
        return await _ports.Creation.RunAsync(() =>
        {
            var name = partition.TopicPartition;
            lock (_nameLocks.Of(name))
            {
                if (_disposed || !TryGet(name, out var found) || !ReferenceEquals(found, partition))
                    return null;
                return _partitions[name] =
                    Partition.Open(name, partition.TopicId, _directories.PathOf(name), _ports, config, clean: false);
            }
        }).ConfigureAwait(false);
    }

    /// <summary>Drains the append loops, flushes, writes checkpoints and the clean-shutdown marker.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, true))
            return;
        _nameLocks.PassAll(); // Creations that did not see the end yet.
        await _compaction.StopAsync().ConfigureAwait(false);
        await _maintenance.StopAsync().ConfigureAwait(false);
        var outcomes = await Task.WhenAll(_partitions.Values.Select(partition => partition.CloseAsync())).ConfigureAwait(false);
        var closed = outcomes.Count(isClosed => isClosed);
        _ports.Threads.Dispose();
        if (closed == _partitions.Count && _foundAll)
            WriteMarker();
        else
            _options.Log.Write(EngineLogLevel.Warning, (_foundAll ? $"{_partitions.Count - closed} partitions could not be closed cleanly"
                : "A directory could not be read at the start") + ": the next start checks all logs.");
    }

    /// <inheritdoc cref="MaintenanceSchedule.Run"/>
    internal void RunMaintenance(long now) => _maintenance.Run(now);

    /// <inheritdoc cref="CompactionSchedule.Run"/>
    internal void RunCompaction(CancellationToken cancellationToken = default) => _compaction.Run(cancellationToken);

    private bool RemoveDirectory(Partition deleted)
    {
        string? dying = null;
        lock (_nameLocks.Of(deleted.TopicPartition))
        {
            if (_partitions.TryGetValue(deleted.TopicPartition, out var found) && ReferenceEquals(found, deleted))
            {
                dying = _directories.MoveAway(deleted.TopicPartition, deleted.TopicId);
                _partitions.TryRemove(deleted.TopicPartition, out _);
            }
        }
        // After a crash or a fault the next start removes the rest.
        if (dying is not null)
            _files.DeleteDirectory(dying);
        return dying is not null;
    }

    private void SetAside(Partition gone, string why)
    {
        lock (_nameLocks.Of(gone.TopicPartition))
        {
            if (!_partitions.TryGetValue(gone.TopicPartition, out var found) || !ReferenceEquals(found, gone))
                return;
            _directories.SetAside(gone.TopicPartition, gone.TopicId, why);
            _partitions.TryRemove(gone.TopicPartition, out _);
        }
    }

    private static Partition SameTopic(Partition found, Guid topicId) => found.IsDeleted
        ? throw new BrokerException(ErrorCode.LeaderNotAvailable,
            $"{found.TopicPartition} of the deleted topic is still being removed. Retry.")
        : found.TopicId == topicId
        ? found
        : throw new BrokerException(ErrorCode.InconsistentTopicId,
            $"{found.TopicPartition} belongs to topic id {found.TopicId}, not {topicId}.");

    private void OpenAll(Func<Guid, TopicConfig?> findConfig, Func<TopicPartition, Guid, bool>? isListed,
        CancellationToken cancellationToken)
    {
        if (!_files.DirectoryExists(_directories.Root))
        {
            _files.CreateDirectory(_directories.Root);
            _files.FlushDirectory(_options.DataDirectory);
        }
        var clean = TakeMarker();
        var (found, foundAll) = _directories.Find(id => findConfig(id) is not null, isListed);
        _foundAll = foundAll;
        // Recovery after a crash flushes: many at once share the disk's time.
        Task.WaitAll(found.Select(one => _ports.Creation.RunAsync(() =>
        {
            if (!cancellationToken.IsCancellationRequested && findConfig(one.TopicId) is { } config)
                _partitions[one.TopicPartition] = Partition.Open(one.TopicPartition, one.TopicId, one.Directory, _ports, config,
                    clean && one.WasOpen);
            return true;
        })), CancellationToken.None);
        cancellationToken.ThrowIfCancellationRequested();
    }

    private string MarkerPath => Path.Combine(_options.DataDirectory, CleanShutdownMarker);

    // Removed durably before the first append: a later crash must not look like a clean stop.
    private bool TakeMarker()
    {
        var clean = _files.FileExists(MarkerPath);
        if (clean)
        {
            _files.DeleteFile(MarkerPath);
            _files.FlushDirectory(_options.DataDirectory);
        }
        return clean;
    }

    private void WriteMarker()
    {
        try
        {
            AtomicFile.Write(_files, MarkerPath, "1\n"u8);
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            _options.Log.Write(EngineLogLevel.Warning, $"'{MarkerPath}' could not be written: the next start checks all logs.", fault);
        }
    }
}
