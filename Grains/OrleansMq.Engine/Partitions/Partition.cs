using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Topics;

namespace OrleansMq.Partitions;

/// <summary>
/// One partition on this broker: its log, its offsets, its append loop and those who wait for records. Whoever leads it (a grain, or the
/// standalone host) calls this object. Thread safe.
/// <para>Online it serves; a fault of its storage takes it offline, with the file and the fix in <see cref="OfflineReason"/>, until the
/// broker is started again. Nothing acknowledged is lost by that, and other partitions go on.</para>
/// </summary>
/// <remarks>
/// A record's way: <see cref="AppendAsync"/> checks the batch on the caller's thread and queues it; an append thread takes all that waits
/// (<c>RunRound</c>): dedupe, stamp, one write, one flush where the policy says so, high watermark, answers, waiting readers. The log's
/// append
/// lock is the only lock of that way, and readers never take it.
/// </remarks>
public sealed partial class Partition
{
    private readonly PartitionPorts _ports;
    private readonly SegmentedLog? _log;
    private readonly FetchWaiters _waiters = new();
    private readonly LeaderEpochCache? _epochs;
    private TopicConfig _config;
    private long _highWatermark;
    private int _leaderEpoch;
    private string? _offlineReason;
    private volatile Exception? _offlineFault;
    private volatile bool _deleted;
    private volatile bool _closed;

    private Partition(TopicPartition topicPartition, Guid topicId, PartitionPorts ports, TopicConfig config, SegmentedLog? log,
        LeaderEpochCache? epochs,
        string? offlineReason)
    {
        TopicPartition = topicPartition;
        TopicId = topicId;
        _ports = ports;
        _config = config;
        _log = log;
        _epochs = epochs;
        _offlineReason = offlineReason;
        _leaderEpoch = Math.Max(epochs?.Latest.Epoch ?? 0, 0);
        _highWatermark = log?.LogEndOffset ?? -1;
        _replication = new SoleReplication(this);
        _writer = new RoundWriter(this);
    }

    /// <summary>Topic and number.</summary>
    public TopicPartition TopicPartition { get; }
    /// <summary>The topic's id, also kept in the partition's directory.</summary>
    public Guid TopicId { get; }
    /// <summary>The topic's configuration in force.</summary>
    public TopicConfig Config => Volatile.Read(ref _config);
    /// <summary>Null while it serves; otherwise what failed, which file, and the fix.</summary>
    public string? OfflineReason => Volatile.Read(ref _offlineReason);
    /// <summary>The first offset that can be read; -1 where the log could not be opened, as for the other offsets.</summary>
    public long LogStartOffset => _log?.LogStartOffset ?? -1;
    /// <summary>The first offset that cannot be read yet.</summary>
    public long HighWatermark => Volatile.Read(ref _highWatermark);
    /// <summary>The first offset that a committed reader cannot read yet. Without transactions, the high watermark.</summary>
    public long LastStableOffset => HighWatermark;
    /// <summary>The offset the next record gets.</summary>
    public long LogEndOffset => _log?.LogEndOffset ?? -1;
    /// <summary>The epoch appends are stamped with.</summary>
    public int LeaderEpoch => Volatile.Read(ref _leaderEpoch);
    /// <summary>Bytes of all segments' logs.</summary>
    public long SizeInBytes => _log?.SizeInBytes ?? 0;

    /// <summary>Whether its topic was deleted: it does nothing any more, and its directory goes.</summary>
    internal bool IsDeleted => _deleted;

    /// <summary>What took it offline, where it was a fault.</summary>
    internal Exception? OfflineFault => _offlineFault;

    /// <summary>The log; null where it could not be opened.</summary>
    internal SegmentedLog? Log => _log;

    /// <summary>
    /// Opens the partition in a directory (created by the caller, with its metadata). One whose log is damaged comes back offline.
    /// </summary>
    internal static Partition Open(TopicPartition topicPartition, Guid topicId, string directory, PartitionPorts ports, TopicConfig config,
        bool clean)
    {
        try
        {
            var log = SegmentedLog.Open(ports.Log, directory, config, clean);
            var epochs = LeaderEpochCache.Open(ports.Log.Files, directory);
            epochs.TruncateFromEnd(log.LogEndOffset + 1);
            if (log.Opening.WasEmptied)
                epochs.Clear();
            return new Partition(topicPartition, topicId, ports, config, log, epochs, null);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            var reason = StorageFaults.Describe(directory, fault);
            ports.Log.EngineLog.Write(EngineLogLevel.Error, $"Partition {topicPartition} is offline: {reason}", fault);
            return new Partition(topicPartition, topicId, ports, config, null, null, reason) { _offlineFault = fault };
        }
    }

    /// <summary>Takes over a changed topic configuration; appends that begin later follow it.</summary>
    public void UpdateConfig(TopicConfig config)
    {
        GiveUpCountingOnlyFlushed(config);
        Volatile.Write(ref _config, config);
        if (_log is not null)
            _log.Config = config;
    }

    /// <summary>
    /// Begins a leader epoch at the log's end: later appends are stamped with it. Durable when it returns. An epoch that is not newer
    /// changes nothing.
    /// </summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>: the partition is offline, or its storage
    /// failed.</exception>
    public void BeginLeaderEpoch(int epoch)
    {
        if (_log is null || _epochs is null || OfflineReason is not null)
            throw new BrokerException(ErrorCode.KafkaStorageError, OfflineReason ?? "");
        lock (_log.AppendLock)
        {
            if (epoch <= _leaderEpoch)
                return;
            try
            {
                _epochs.Assign(epoch, _log.LogEndOffset);
            }
            catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
            {
                throw new BrokerException(ErrorCode.KafkaStorageError, StorageFaults.Describe(_log.Directory, fault), fault);
            }
            Volatile.Write(ref _leaderEpoch, epoch);
        }
    }

    /// <summary>Stops serving, once and for good: the storage cannot be trusted until somebody has looked at it.</summary>
    internal void GoOffline(string reason, Exception? fault)
    {
        if (Interlocked.CompareExchange(ref _offlineReason, reason, null) is not null)
            return;
        _offlineFault = fault;
        _ports.Log.EngineLog.Write(EngineLogLevel.Error, $"Partition {TopicPartition} goes offline: {reason}", fault);
        _waiters.WakeAll();
        _replication.OnOffline(reason);
    }

    /// <summary>Why nothing can be done with the partition; <see cref="ErrorCode.None"/> when it can.</summary>
    private ErrorCode Refusal(out string message)
    {
        if (_deleted)
        {
            message = $"The topic '{TopicPartition.Topic}' was deleted.";
            return ErrorCode.UnknownTopicOrPartition;
        }
        if (OfflineReason is { } reason)
        {
            message = reason;
            return ErrorCode.KafkaStorageError;
        }
        if (_closed)
        {
            message = "The broker is shutting down. Retry.";
            return ErrorCode.NotLeaderOrFollower;
        }
        message = "";
        return ErrorCode.None;
    }
}
