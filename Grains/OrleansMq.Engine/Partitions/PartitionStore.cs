using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using OrleansMq.Diagnostics;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Partitions;

/// <summary>
/// All partitions of one broker: opens them from the data directory, creates and deletes them, and runs what they share (append threads,
/// file handle cache, retention, compaction, checkpoints, free-space guard). One a broker, whichever host drives it.
/// </summary>
public sealed partial class PartitionStore : IAsyncDisposable
{
    private const string LogsDirectory = "logs";
    private const string CleanShutdownMarker = "clean-shutdown";

    private readonly PartitionStoreOptions _options;
    private readonly IFileSystem _files;
    private readonly PartitionPorts _ports;
    private readonly PartitionDirectories _directories;
    private readonly ConcurrentDictionary<TopicPartition, Partition> _partitions = new();
    private readonly Lock _createLock = new();
    private bool _disposed;

    private PartitionStore(PartitionStoreOptions options)
    {
        _options = options;
        _ports = new PartitionPorts(options);
        _files = _ports.Log.Files;
        _directories = new PartitionDirectories(_files, Path.Combine(options.DataDirectory, LogsDirectory), options.Log);
    }

    /// <summary>
    /// Recovers every partition in the data directory, which the host has opened and locked before (<c>DataDirectory.Open</c>: it needs
    /// the topics'
    /// documents in it to answer <paramref name="findConfig"/>). A partition that cannot be recovered is offline, not missing.
    /// </summary>
    /// <param name="options">Where, and the limits.</param>
    /// <param name="findConfig">The topic's configuration for a topic id; null for a topic that is not known (its directory is set
    /// aside).</param>
    /// <param name="cancellationToken">Stops the recovery.</param>
    public static async Task<PartitionStore> OpenAsync(PartitionStoreOptions options, Func<Guid, TopicConfig?> findConfig,
        CancellationToken cancellationToken = default)
    {
        var store = new PartitionStore(options);
        try
        {
            await Task.Run(() => store.OpenAll(findConfig, cancellationToken), cancellationToken).ConfigureAwait(false);
        }
        catch (Exception)
        {
            // Given up, or the data directory itself failed: nothing was changed that the next start could not read.
            foreach (var partition in store._partitions.Values)
                partition.Log?.CloseFiles();
            throw;
        }
        store.StartMaintenance();
        return store;
    }

    /// <summary>What the partitions share.</summary>
    internal PartitionPorts Ports => _ports;

    /// <summary>All partitions, online or not.</summary>
    public IReadOnlyCollection<Partition> Partitions => (IReadOnlyCollection<Partition>)_partitions.Values;

    /// <summary>Creates the partition's directory, or returns the one that exists under the same topic id.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InconsistentTopicId"/>: a partition of that name belongs to another topic
    /// id.</exception>
    public Partition GetOrCreate(TopicPartition partition, Guid topicId, TopicConfig config)
    {
        if (TryGet(partition, out var found))
            return SameTopic(found, topicId);
        lock (_createLock)
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

    /// <summary>The partition, if this broker holds it.</summary>
    public bool TryGet(TopicPartition partition, [NotNullWhen(true)] out Partition? found) => _partitions.TryGetValue(partition, out found);

    /// <summary>
    /// Stops the partition, fails its waiters with <see cref="ErrorCode.UnknownTopicOrPartition"/> and frees its disk. Nothing takes its
    /// name before
    /// that is done; where it fails, it may be called again.
    /// </summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>: the directory could not be removed.</exception>
    public async Task DeleteAsync(TopicPartition partition)
    {
        if (!_partitions.TryGetValue(partition, out var found))
            return;
        await found.AbandonAsync().ConfigureAwait(false);
        try
        {
            await Task.Run(() => RemoveDirectory(found)).ConfigureAwait(false);
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            throw new BrokerException(ErrorCode.KafkaStorageError, StorageFaults.Describe(_directories.PathOf(partition), fault), fault);
        }
    }

    /// <summary>Ends a partition and sets its directory aside, as it is. Where it fails, it may be called again.</summary>
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

    /// <summary>Drains the append loops, flushes, writes checkpoints and the clean-shutdown marker.</summary>
    public async ValueTask DisposeAsync()
    {
        lock (_createLock)
        {
            if (_disposed)
                return;
            _disposed = true;
        }
        await StopMaintenanceAsync().ConfigureAwait(false);
        var closed = 0;
        await Parallel.ForEachAsync(_partitions.Values, async (partition, _) =>
        {
            if (await partition.CloseAsync().ConfigureAwait(false))
                Interlocked.Increment(ref closed);
        }).ConfigureAwait(false);
        _ports.Threads.Dispose();
        if (closed == _partitions.Count)
            WriteMarker();
        else
            _options.Log.Write(EngineLogLevel.Warning,
                $"{_partitions.Count - closed} partitions were offline at the end: the next start checks all logs.");
    }

    private void RemoveDirectory(Partition deleted)
    {
        string? dying = null;
        lock (_createLock)
        {
            if (_partitions.TryGetValue(deleted.TopicPartition, out var found) && ReferenceEquals(found, deleted))
            {
                dying = _directories.MoveAway(deleted.TopicPartition, deleted.TopicId);
                _partitions.TryRemove(deleted.TopicPartition, out _);
            }
        }
        // What a crash, or a fault, leaves of it is removed at the next start.
        if (dying is not null)
            _files.DeleteDirectory(dying);
    }

    private void SetAside(Partition gone, string why)
    {
        lock (_createLock)
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

    private void OpenAll(Func<Guid, TopicConfig?> findConfig, CancellationToken cancellationToken)
    {
        if (!_files.DirectoryExists(_directories.Root))
        {
            _files.CreateDirectory(_directories.Root);
            _files.FlushDirectory(_options.DataDirectory);
        }
        var clean = TakeMarker();
        var found = _directories.Find(id => findConfig(id) is not null);
        var parallel = new ParallelOptions
        {
            CancellationToken = cancellationToken,
            MaxDegreeOfParallelism = Environment.ProcessorCount * 2
        };
        Parallel.ForEach(found, parallel, one =>
        {
            if (findConfig(one.TopicId) is { } config)
                _partitions[one.TopicPartition] = Partition.Open(one.TopicPartition, one.TopicId, one.Directory, _ports, config, clean);
        });
    }

    private string MarkerPath => Path.Combine(_options.DataDirectory, CleanShutdownMarker);

    // Gone, and durably so, before anything is appended: a crash later on must not look like a clean stop.
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
