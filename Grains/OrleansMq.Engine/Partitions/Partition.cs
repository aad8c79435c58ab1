using OrleansMq.Api;
using OrleansMq.Compaction;
using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Partitions.Cursors;
using OrleansMq.Partitions.Schedules;
using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Topics;

namespace OrleansMq.Partitions;

/// <summary>
/// One partition on this broker. Its host, a grain or the standalone broker, calls this object; the parts below do the work. Thread safe.
/// <para>An online partition serves. A storage fault takes it offline until the broker restarts, with the file and the fix in
/// <see cref="OfflineReason"/>. Acknowledged records stay, and other partitions go on.</para>
/// </summary>
/// <remarks>
/// The partition itself keeps its configuration, its leader epoch and its high watermark; the latter two change under the log's append
/// lock. Each part names its own state, its lock, and what a failure does to it:
/// <list type="bullet">
/// <item><see cref="PartitionAvailability"/>: whether it serves, and why not.</item>
/// <item><see cref="AppendLoop"/>: checks, queue, rounds of group commit.</item>
/// <item><see cref="PartitionReader"/>: fetches and lookups, and the readers that wait.</item>
/// <item><see cref="PartitionFlusher"/>: flushes as the topic's policy requires.</item>
/// <item><see cref="FlushPromise"/>: what its incarnation promises about flushed records.</item>
/// <item><see cref="PartitionUpkeep"/>: checkpoints, retention, delete-records.</item>
/// <item><see cref="PartitionCompaction"/>: compaction, and its end.</item>
/// <item><see cref="PartitionDedupe"/>: message ids, beside their appends.</item>
/// <item><see cref="PartitionCursors"/>: consumption record by record, while it is led here.</item>
/// <item><see cref="PartitionSchedules"/>: what is to be appended at a time, while it is led here.</item>
/// <item><see cref="IPartitionReplication"/>: leadership, and when a written batch becomes visible.</item>
/// </list>
/// Locks are taken in this order: upkeep or compaction, then those of <see cref="SegmentedLog"/>.
/// </remarks>
internal sealed class Partition
{
    private readonly PartitionReader _reader;
    private readonly FlushPromise _flushPromise;
    private readonly PartitionUpkeep _upkeep;
    private readonly PartitionCompaction _compaction;
    private TopicConfig _config;
    private long _highWatermark;
    private int _leaderEpoch;
    private volatile IPartitionReplication _replication;
    private volatile bool _awaitsConfig;
    private PartitionCursors? _cursors;
    private PartitionSchedules? _schedules;
    private RareLine? _passedOver;
    private RareLine? _heldBack;

    private Partition(TopicPartition topicPartition, Guid topicId, PartitionPorts ports, TopicConfig config,
        PartitionAvailability availability, SegmentedLog? log, LeaderEpochCache? epochs)
    {
        TopicPartition = topicPartition;
        TopicId = topicId;
        Ports = ports;
        Availability = availability;
        Log = log;
        Epochs = epochs;
        _config = config;
        _leaderEpoch = Math.Max(epochs?.Latest.Epoch ?? 0, 0);
        _highWatermark = log?.LogEndOffset ?? -1;
        _replication = new SoleReplication(this);
        Appends = new AppendLoop(this);
        Flusher = new PartitionFlusher(this);
        FlushWork = new FlushWork(this);
        _reader = new PartitionReader(this);
        _flushPromise = new FlushPromise(this);
        _upkeep = new PartitionUpkeep(this, _flushPromise);
        _compaction = new PartitionCompaction(this);
        Dedupe = new PartitionDedupe(this);
    }

    /// <summary>Topic and number.</summary>
    public TopicPartition TopicPartition { get; }
    /// <summary>The topic's id, also kept in the partition's directory.</summary>
    public Guid TopicId { get; }
    /// <summary>The topic's configuration in force.</summary>
    public TopicConfig Config => Volatile.Read(ref _config);
    /// <summary><see cref="Config"/>; null while the topic is not known to its broker yet, and other values take its place.</summary>
    internal TopicConfig? KnownConfig => _awaitsConfig ? null : Config;
    /// <summary>Null while it serves; otherwise what failed, which file, and the fix.</summary>
    public string? OfflineReason => Availability.OfflineReason;
    /// <summary>The first offset that can be read; -1 if the log could not be opened, as for the other offsets.</summary>
    public long LogStartOffset => Log?.LogStartOffset ?? -1;
    /// <summary>The first offset that cannot be read yet.</summary>
    public long HighWatermark => Volatile.Read(ref _highWatermark);
    /// <summary>The first offset that a committed reader cannot read yet. Without transactions, the high watermark.</summary>
    public long LastStableOffset => StableOffset(HighWatermark);
    /// <summary>The offset of the next record.</summary>
    public long LogEndOffset => Log?.LogEndOffset ?? -1;
    /// <summary>The epoch that appends are stamped with.</summary>
    public int LeaderEpoch => Volatile.Read(ref _leaderEpoch);
    /// <summary>The size of all segments' logs in bytes.</summary>
    public long SizeInBytes => Log?.SizeInBytes ?? 0;

    /// <summary>Returns the last stable offset for a high watermark that was read before.</summary>
    internal long StableOffset(long highWatermark) =>
        Log is { } log ? Math.Min(highWatermark, Math.Max(log.State.Transactions.StableOffset(highWatermark), log.LogStartOffset))
            : highWatermark;

    /// <summary>Whether its topic was deleted. It then serves nothing, and its directory is removed.</summary>
    internal bool IsDeleted => Availability.IsDeleted;
    /// <summary>The fault that took it offline, if there was one.</summary>
    internal Exception? OfflineFault => Availability.OfflineFault;
    /// <summary>The log; null if it could not be opened.</summary>
    internal SegmentedLog? Log { get; }
    /// <summary>The start offset of each epoch; null if the log could not be opened.</summary>
    internal LeaderEpochCache? Epochs { get; }
    /// <summary>What its broker's partitions share.</summary>
    internal PartitionPorts Ports { get; }
    /// <summary>Whether it serves.</summary>
    internal PartitionAvailability Availability { get; }
    /// <summary>Its appends.</summary>
    internal AppendLoop Appends { get; }
    /// <summary>Its flushes.</summary>
    internal PartitionFlusher Flusher { get; }
    /// <summary>Flushes it beside its appends.</summary>
    internal FlushWork FlushWork { get; }
    /// <summary>Its message ids, beside its appends.</summary>
    internal PartitionDedupe Dedupe { get; }
    /// <summary>Its replication.</summary>
    internal IPartitionReplication Replication => _replication;
    /// <summary>Its cursors, which begin with the first use, or with a leadership that finds some in the log.</summary>
    internal PartitionCursors Cursors => Volatile.Read(ref _cursors) ?? BeginCursors();
    /// <summary>Its schedules, if it is one of <see cref="InternalTopics.Schedules"/>. They begin with the first use, or with a
    /// leadership.</summary>
    internal PartitionSchedules Schedules => Volatile.Read(ref _schedules) ?? BeginSchedules();
    /// <summary>Its schedules, if they have begun.</summary>
    internal PartitionSchedules? BegunSchedules => Volatile.Read(ref _schedules);
    /// <summary>Whether it is led here, and has queues or other consumption record by record.</summary>
    public bool HasQueues => Availability.IsServing && _replication.Leadership is not null && Log!.State.Cursors.Cursors.Count > 0;
    /// <summary>Why it takes no more records of producers: a queue is full; null: it does.</summary>
    internal string? RefusesPublishes => Volatile.Read(ref _cursors)?.RefusesPublishes;
    /// <summary>The readers that wait for records.</summary>
    internal FetchWaiters Waiters => _reader.Waiters;

    /// <summary>
    /// Opens the partition in a directory, which the caller created with its metadata. A partition that cannot be opened, whatever the
    /// reason, is offline: the broker's others serve.
    /// </summary>
    internal static Partition Open(TopicPartition topicPartition, Guid topicId, string directory, PartitionPorts ports, TopicConfig config,
        bool clean)
    {
        try
        {
            var log = SegmentedLog.Open(ports.Log, directory, config, clean);
            var epochs = LeaderEpochRecovery.Open(ports.Log, log);
            epochs.TruncateFromEnd(log.LogEndOffset + 1);
            if (log.Opening.WasEmptied)
                epochs.Clear();
            return new Partition(topicPartition, topicId, ports, config, new PartitionAvailability(topicPartition), log, epochs);
        }
        catch (Exception fault)
        {
            var reason = StorageFaults.IsStorageFault(fault) || StorageFaults.IsOfContent(fault)
                ? StorageFaults.Describe(directory, fault)
                : $"A bug in OrleansMq keeps '{directory}' from being opened: {fault.Message} Please report it.";
            ports.EngineLog.Write(EngineLogLevel.Error, $"Partition {topicPartition} is offline: {reason}", fault);
            var offline = new PartitionAvailability(topicPartition, reason, fault);
            return new Partition(topicPartition, topicId, ports, config, offline, log: null, epochs: null);
        }
    }

    /// <summary>Whether an append of a compressed batch decompresses it.</summary>
    internal bool Decompresses => Ports.VerifyCompressed || Config is { CleanupCompact: true } or { CompressionType: not null }
        or { DedupeWindowMs: > 0 };

    /// <summary>Appends one batch. See <see cref="IBroker.ProduceAsync"/>.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="acks">When it counts as appended.</param>
    /// <param name="cancellationToken">Cancels the append before it begins.</param>
    /// <param name="mayWrite">Whether the caller's thread may write to the disk. It then does, if no other thread writes to the partition
    /// and no flush is needed, and the append may be complete when the call returns.</param>
    /// <param name="burst">If not null, the append is written when the burst is run.</param>
    /// <param name="allowance">If not null, bounds what the batches of its request decompress to.</param>
    /// <param name="verified">What the coordinator said of the batch's transaction.</param>
    public ValueTask<ProduceResult> AppendAsync(Memory<byte> batch, Acks acks, CancellationToken cancellationToken = default,
        bool mayWrite = false, AppendBurst? burst = null, DecompressionAllowance? allowance = null,
        in VerifiedTransaction verified = default) =>
        Appends.AppendAsync(batch, acks, cancellationToken, mayWrite, burst, allowance, verified);

    /// <summary>How long the oldest transaction has been open here, in milliseconds; 0 where none is.</summary>
    internal long OldestTransactionMs => Log is { } log && log.State.Transactions.Open() is [var oldest, ..]
        ? Math.Max(Ports.Log.Now - oldest.BeganAt, 0) : 0;

    /// <summary>Whether a producer has a transaction of an epoch open here. Then its next batches need not be verified.</summary>
    internal bool IsInTransaction(long producerId, short epoch) =>
        Log is { } log && log.State.Transactions.IsOpen(producerId, epoch);

    /// <summary>Returns the producers that the log knows, by id.</summary>
    internal IReadOnlyList<ActiveProducer> DescribeProducers()
    {
        if (Log is not { } log)
            return [];
        ActiveProducer[] producers;
        lock (log.AppendLock)
            producers = [.. log.State.Producers.Producers.Select(static known => ActiveProducer.Of(known.Key, known.Value))];
        Array.Sort(producers, static (one, other) => one.ProducerId.CompareTo(other.ProducerId));
        return producers;
    }

    /// <summary>Reads batches. See <see cref="IBroker.FetchAsync"/>.</summary>
    public ValueTask<FetchResult> ReadAsync(FetchRequest request, CancellationToken cancellationToken = default) =>
        _reader.ReadAsync(request, cancellationToken);

    /// <summary>Finds an offset.</summary>
    /// <param name="spec">Which one; a committed reader's log ends at <see cref="LastStableOffset"/>.</param>
    public OffsetResult FindOffset(OffsetSpec spec) => _reader.FindOffset(spec);

    /// <summary>Returns where the records of an epoch end in this log: the largest epoch at or below <paramref name="epoch"/>, with the
    /// offset after its last record. A reader or follower asks for the epoch of its own last record.
    /// <see cref="LeaderEpochCache.None"/> for an epoch that is not known yet.</summary>
    public LeaderEpochEntry EndOffsetOf(int epoch) => _reader.EndOffsetOf(epoch);

    /// <summary>Compares a reader's view of the leader's epoch with the partition's (KIP-320).</summary>
    /// <param name="readerEpoch">The latest epoch that the reader knows; negative: not checked.</param>
    public ErrorCode CheckEpoch(int readerEpoch) => ReaderEpoch.Check(readerEpoch, LeaderEpoch);

    /// <summary>Whether the partition can be read here now.</summary>
    /// <param name="message">Why not, and what to do.</param>
    /// <returns><see cref="ErrorCode.None"/>, or the refusal.</returns>
    public ErrorCode CanRead(out string message) => _reader.Refuse(out message);

    /// <summary>Moves the log start offset; durable when it returns, on every replica that may lead next.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.OffsetOutOfRange"/>, <see cref="ErrorCode.PolicyViolation"/> (a topic that
    /// is only compacted), <see cref="ErrorCode.KafkaStorageError"/>, <see cref="ErrorCode.RequestTimedOut"/> (deleted here, but a new
    /// leader may still have the records).</exception>
    public ValueTask<long> DeleteRecordsAsync(long beforeOffset, CancellationToken cancellationToken = default) =>
        _upkeep.DeleteRecordsAsync(beforeOffset, cancellationToken);

    /// <summary>Applies a changed topic configuration; appends that begin later follow it.</summary>
    public void UpdateConfig(TopicConfig config)
    {
        _flushPromise.Follow(config);
        _awaitsConfig = false;
    }

    /// <summary>
    /// Begins a leader epoch at the log's end: later appends are stamped with it. Durable when it returns. An epoch that is not newer
    /// changes nothing.
    /// </summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.KafkaStorageError"/>: the partition is offline, or its storage
    /// failed.</exception>
    public void BeginLeaderEpoch(int epoch)
    {
        if (Log is null || Epochs is null || OfflineReason is not null)
            throw new BrokerException(ErrorCode.KafkaStorageError, OfflineReason ?? "");
        lock (Log.AppendLock)
        {
            if (epoch <= _leaderEpoch)
                return;
            try
            {
                Epochs.Assign(epoch, Log.LogEndOffset);
            }
            catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
            {
                throw new BrokerException(ErrorCode.KafkaStorageError, StorageFaults.Describe(Log.Directory, fault), fault);
            }
            Volatile.Write(ref _leaderEpoch, epoch);
        }
    }

    // --- For its replication ---

    /// <summary>Makes it one replica of several: it serves only while it leads, and its replicas decide its high watermark. Called before
    /// the partition serves.</summary>
    internal void Replicate(IPartitionReplication replication)
    {
        if (Log is not null)
        {
            lock (Log.AppendLock)
                SetHighWatermark(Math.Clamp(Log.Marks.HighWatermark, Log.LogStartOffset, Log.LogEndOffset));
        }
        _replication = replication;
    }

    /// <summary>Stamps appends with this epoch from now on. Under the append lock.</summary>
    internal void LeadIn(int epoch) => Volatile.Write(ref _leaderEpoch, epoch);

    /// <summary>Sets the high watermark: readers see what lies below. Under the append lock.</summary>
    internal void SetHighWatermark(long offset)
    {
        Invariant.Check(offset <= Log!.LogEndOffset, "The high watermark lies beyond the log's end.");
        Volatile.Write(ref _highWatermark, offset);
        Log.NoteHighWatermark(offset);
        NoteDecided(offset);
        Volatile.Read(ref _cursors)?.Signal();
    }

    /// <summary>Advances the high watermark of the only replica. Under the append lock.</summary>
    internal void AdvanceHighWatermark(long end)
    {
        Invariant.Check(end >= _highWatermark, "The high watermark went back.");
        Volatile.Write(ref _highWatermark, end);
        NoteDecided(end);
        Volatile.Read(ref _cursors)?.Signal();
    }

    // The bytes that a marker makes stable became visible before: committed readers wait for no number of them.
    private void NoteDecided(long highWatermark)
    {
        if (Log!.State.Transactions.Advance(highWatermark))
            Waiters.WakeAll();
    }

    /// <summary>Tells cursors and schedules that a leadership began or ended. Under the append lock.</summary>
    internal void NoteLeadership()
    {
        if (_schedules is { } schedules)
            schedules.Signal();
        else if (TopicPartition.Topic == InternalTopics.Schedules && _replication.Leadership is not null)
            BeginSchedules();
        if (_cursors is { } cursors)
            cursors.Signal();
        else if (Log!.State.Cursors.Cursors.Count > 0 && _replication.Leadership is not null)
            BeginCursors();
    }

    /// <summary>Begins the cursors that the log has, if it has any, and the schedules.</summary>
    internal void BeginKnownCursors()
    {
        if (Log is not { } log)
            return;
        lock (log.AppendLock)
            NoteLeadership();
    }

    /// <summary>Begins a new segment; the rolled one is flushed in the background. Under the append lock.</summary>
    internal void Roll(long now)
    {
        Log!.Roll(now);
        Flusher.WantCheckpoint();
    }

    /// <summary>Notes that the topic's configuration is not known before <see cref="UpdateConfig"/> brings it. Called before the partition
    /// serves.</summary>
    internal void AwaitConfig() => _awaitsConfig = true;

    /// <summary>Flushes as under <c>sync</c> until <see cref="UpdateConfig"/> brings the topic's configuration. Called before the partition
    /// serves.</summary>
    internal void FlushUntilConfigured() => SetConfig(FlushDecision.UntilConfigured(Config));

    // --- For its store ---

    /// <inheritdoc cref="PartitionUpkeep.Flush"/>
    internal Exception? Flush() => _upkeep.Flush();

    /// <inheritdoc cref="PartitionUpkeep.Checkpoint"/>
    internal Exception? Checkpoint() => _upkeep.Checkpoint();

    /// <inheritdoc cref="PartitionUpkeep.Maintain"/>
    internal void Maintain(long now) => _upkeep.Maintain(now);

    /// <inheritdoc cref="PartitionCompaction.Run"/>
    internal void Compact(LogCompactor compactor, CancellationToken cancellationToken) => _compaction.Run(compactor, cancellationToken);

    /// <summary>Closes the partition: queued appends are written, all is flushed, and the recovery point is the log's end.</summary>
    /// <returns>Whether all of that succeeded; false if the partition is offline.</returns>
    internal async Task<bool> CloseAsync()
    {
        Availability.Close();
        await EndActorsAsync().ConfigureAwait(false);
        await Appends.CloseAsync().ConfigureAwait(false);
        await FlushWork.IdleAsync().ConfigureAwait(false);
        Waiters.WakeAll();
        // On a thread that may block: all partitions of a broker are closed at once, since their flushes share the disk's time.
        var unfinished = await Ports.Closing.RunAsync(_upkeep.Finish).ConfigureAwait(false);
        Log?.CloseFiles();
        Dedupe.Report(0);
        return OfflineReason is null && unfinished is null;
    }

    /// <summary>Ends the partition, because its topic is deleted or its directory is set aside; the caller removes the directory
    /// afterwards.</summary>
    internal async Task AbandonAsync()
    {
        Availability.Delete();
        await EndActorsAsync().ConfigureAwait(false);
        await _compaction.StopAsync().ConfigureAwait(false);
        await Appends.CloseAsync().ConfigureAwait(false);
        await FlushWork.IdleAsync().ConfigureAwait(false);
        Waiters.WakeAll();
        await Task.Run(_upkeep.WaitUntilIdle).ConfigureAwait(false);
        Log?.CloseFiles();
        Dedupe.Report(0);
    }

    // --- Faults ---

    /// <summary>Takes the partition offline, once and until the broker restarts: its storage cannot be trusted. Waiting readers wake, and
    /// its replication is told.</summary>
    internal void GoOffline(string reason, Exception? fault)
    {
        if (!Availability.TryGoOffline(reason, fault))
            return;
        Ports.EngineLog.Write(EngineLogLevel.Error, $"Partition {TopicPartition} goes offline: {reason}", fault);
        Waiters.WakeAll();
        Volatile.Read(ref _cursors)?.Signal();
        Volatile.Read(ref _schedules)?.Signal();
        _replication.OnOffline(reason);
    }

    /// <summary>Lines about offsets that queues pass over: a producer can append unreadable batches at will.</summary>
    internal RareLine PassedOver =>
        LazyInitializer.EnsureInitialized(ref _passedOver, () => new RareLine(Ports.EngineLog, Ports.Log.Time));

    /// <summary>Lines about records that cursors hold back, since keys before them cannot be read.</summary>
    internal RareLine HeldBack =>
        LazyInitializer.EnsureInitialized(ref _heldBack, () => new RareLine(Ports.EngineLog, Ports.Log.Time));

    /// <summary>Learns that records could not be read: the partition goes offline, unless the fault passes.</summary>
    internal void NoteUnreadable(Exception fault)
    {
        if (!StorageFaults.Passes(fault) && Availability.IsServing)
            GoOffline(StorageFaults.Describe(Log!.Directory, fault), fault);
    }

    /// <summary>Runs an action on the log, unless the partition is offline or deleted. A full disk leaves the partition online, since the
    /// action can be repeated, and so does a lack of file handles. Any other storage fault takes it offline.</summary>
    /// <returns>The fault that prevented the action and passes by itself; null otherwise.</returns>
    internal Exception? TryOnLog(Action<SegmentedLog> action)
    {
        if (Log is null || OfflineReason is not null || IsDeleted)
            return null;
        try
        {
            action(Log);
        }
        catch (Exception fault) when (StorageFaults.Passes(fault))
        {
            // A flush is tried again at every tick.
            Ports.FailedWrites.Write(EngineLogLevel.Warning,
                $"Partition {TopicPartition}: {StorageFaults.DescribeRefused(Log.Directory, fault)}", fault);
            return fault;
        }
        catch (Exception fault) when (StorageFaults.IsStorageFault(fault))
        {
            if (!IsDeleted)
                GoOffline(StorageFaults.Describe(Log.Directory, fault), fault);
        }
        return null;
    }

    private PartitionCursors BeginCursors()
    {
        var begun = new PartitionCursors(this);
        var cursors = Interlocked.CompareExchange(ref _cursors, begun, null) ?? begun;
        cursors.Signal();
        return cursors;
    }

    private PartitionSchedules BeginSchedules()
    {
        var begun = new PartitionSchedules(this);
        var schedules = Interlocked.CompareExchange(ref _schedules, begun, null) ?? begun;
        schedules.Signal();
        return schedules;
    }

    private Task EndActorsAsync() => Task.WhenAll(Volatile.Read(ref _cursors)?.EndAsync() ?? Task.CompletedTask,
        Volatile.Read(ref _schedules)?.EndAsync() ?? Task.CompletedTask);

    /// <summary>Sets the configuration in force.</summary>
    internal void SetConfig(TopicConfig config)
    {
        Volatile.Write(ref _config, config);
        if (Log is not null)
            Log.Config = config;
    }
}
