using OrleansMq.Api;
using OrleansMq.Compression;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Streams;
using OrleansMq.Topics;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// A queue on the log: a topic of one partition, and a cursor on it. A queue that is not durable is in memory (<see cref="MemoryQueue"/>),
/// but for one that was declared over the management API, or beside a broker of an earlier build. The topic keeps each record until the
/// cursor has settled it. The cursor's name is the queue's id: it tells whose the topic is. A topic with another queue's cursor, and none
/// of this one, was left by a queue that is deleted; it is deleted, too, before this queue has one of its own. So a deletion that comes
/// late, with the topic's id, takes nothing of a queue that was declared again. A publisher that has not heard of a deletion opens the
/// queue once more: what it has created then is deleted again.
/// <para>
/// Failures: an append without an answer is <see cref="PublishOutcome.Unknown"/>, and the publisher publishes again. A reader whose session
/// ended attaches again; what it held is delivered once more. With a dead-letter exchange the gateway, not the engine, judges times to
/// live: as a message is received, and at the head while nothing consumes (<see cref="DeadLetterWatch"/>).
/// </para>
/// </summary>
internal sealed class LogQueue : IAmqpQueue
{
    /// <summary>How long commands wait for a leader of the partition: a failover takes seconds, also where the leader is silent.</summary>
    internal static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    // What the engine allows.
    private const long MostLimit = 1_000_000_000_000_000;
    // Others create and delete topics within some hundred milliseconds.
    private const int MostAttempts = 10;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan LeaderPause = TimeSpan.FromMilliseconds(50);
    // How long a confirm waits for the dead letters of what it has made too much.
    private static readonly TimeSpan MaxTrimming = TimeSpan.FromSeconds(5);

    private readonly Lock _lock = new();
    private readonly LogAppender _appender;
    private readonly PublishLane _lane;
    private readonly Func<TopicPartition, bool> _isLed;
    private readonly bool _isShared;
    private QueueSettings _settings;
    // No queue had the topic before.
    private bool _isFirst;
    private readonly LengthTrim _trim;
    private DeadLetterWatch? _watch;

    private LogQueue(IBroker broker, string virtualHost, QueueState state, QueueSettings settings, IDeadLetters deadLetters,
        TimeProvider time, EngineLog log, Func<TopicPartition, bool>? isLed, BatchRoom? room)
    {
        (_isLed, _isShared) = (isLed ?? (static _ => true), isLed is not null);
        (Broker, State, _settings, DeadLetters, Time, Log) = (broker, state, settings, deadLetters, time, log);
        Partition = PartitionOf(virtualHost, state);
        Cursor = QueueTopics.CursorOf(state.Id);
        if (settings.DeadLetterExchange is not null)
            _watch = new DeadLetterWatch(this, _isShared);
        _appender = new LogAppender(broker, Partition, $"queue '{state.Name}'", time, log);
        _lane = new PublishLane(StoreAsync, BatchLimits, time, room);
        _trim = new LengthTrim(this);
        Letters = new LogLetters(this);
    }

    /// <summary>The broker.</summary>
    public IBroker Broker { get; }

    /// <summary>The queue.</summary>
    public QueueState State { get; }

    /// <summary>How it delivers.</summary>
    public QueueSettings Settings
    {
        get => Volatile.Read(ref _settings);
        private set => Volatile.Write(ref _settings, value);
    }

    /// <summary>Where dead letters go.</summary>
    public IDeadLetters DeadLetters { get; }

    /// <summary>Its dead letters.</summary>
    public LogLetters Letters { get; }

    /// <summary>The clock.</summary>
    public TimeProvider Time { get; }

    /// <summary>The log.</summary>
    public EngineLog Log { get; }

    /// <summary>Its partition.</summary>
    public TopicPartition Partition { get; }

    /// <summary>Whether several brokers serve it.</summary>
    public bool IsShared => _isShared;

    /// <summary>Its cursor.</summary>
    public string Cursor { get; }

    /// <summary>Whether this broker leads the queue's partition, or none does: then it looks after what no client does.</summary>
    public bool IsLed => _isLed(Partition);

    /// <summary>Opens a queue, and creates its topic and cursor if they are missing.</summary>
    /// <exception cref="BrokerException">They cannot be created.</exception>
    public static async Task<LogQueue> OpenAsync(IBroker broker, string virtualHost, QueueState state, QueueSettings settings,
        IDeadLetters deadLetters, TimeProvider time, EngineLog log, Func<ValueTask<bool>> isCurrent,
        Func<TopicPartition, bool>? isLed = null, BatchRoom? room = null)
    {
        var queue = new LogQueue(broker, virtualHost, state, settings, deadLetters, time, log, isLed, room);
        for (var attempt = 1; !await queue.TryCreateAsync(isCurrent).ConfigureAwait(false); attempt++)
        {
            if (!await isCurrent().ConfigureAwait(false))
                throw queue.Deleted();
            if (attempt == MostAttempts)
                throw new BrokerException(ErrorCode.CoordinatorNotAvailable,
                    $"The topic '{queue.Partition.Topic}' is being created or deleted. Retry.");
            await Task.Delay(Pause * attempt, time).ConfigureAwait(false);
        }
        // Asked after the cursor says whose the topic is: a later queue of the name takes no topic of another.
        if (queue._isFirst && !await isCurrent().ConfigureAwait(false))
        {
            await DeleteTopicAsync(broker, virtualHost, state).ConfigureAwait(false);
            throw queue.Deleted();
        }
        queue._watch?.Start();
        return queue;
    }

    /// <summary>Deletes the topic of a queue that is deleted, unless another queue has it. A topic that is gone is not an error.</summary>
    /// <exception cref="BrokerException">It cannot be deleted.</exception>
    public static async Task DeleteTopicAsync(IBroker broker, string virtualHost, QueueState state)
    {
        var partition = PartitionOf(virtualHost, state);
        try
        {
            var topicId = (await broker.DescribeTopicAsync(partition.Topic).ConfigureAwait(false)).TopicId;
            var own = QueueTopics.CursorOf(state.Id);
            var cursors = await broker.Queues.ListAsync(partition).ConfigureAwait(false);
            if (!cursors.Any(cursor => cursor.Name == own))
                return;
            if (cursors.Any(cursor => cursor.Name != own && QueueTopics.IsCursor(cursor.Name)))
                await broker.Queues.DeleteAsync(partition, own).ConfigureAwait(false);
            else
                await broker.DeleteTopicAsync(partition.Topic, topicId).ConfigureAwait(false);
        }
        catch (BrokerException gone) when (IsGone(gone.Code))
        {
            // Deleted already, and perhaps created again.
        }
    }

    /// <summary>Returns the partition of a queue.</summary>
    public static TopicPartition PartitionOf(string virtualHost, QueueState state) =>
        new(QueueTopics.NameOf(virtualHost, state.Name, state.Durable), 0);

    // Whether the topic is there, with this queue's cursor. If not, it may be at the next attempt.
    private async Task<bool> TryCreateAsync(Func<ValueTask<bool>> isCurrent)
    {
        if (!await TryCreateTopicAsync(isCurrent).ConfigureAwait(false))
            return false;
        try
        {
            await WithLeaderAsync(() => Broker.Queues.CreateAsync(Partition, new NewQueue(Cursor)
            {
                Start = OffsetSpec.Latest,
                // The cursor of a stream tells which queue has the topic, and no more.
                Options = State.Type == QueueType.Stream ? new QueueOptions() : OptionsOf(Settings),
            })).ConfigureAwait(false);
            return true;
        }
        catch (BrokerException gone) when (IsGone(gone.Code))
        {
            // It was that of a deleted queue of this name: a publisher to that one takes back what it has created.
            return false;
        }
    }

    // Whether the topic is there for this queue. If not, one that was left is gone now.
    private async Task<bool> TryCreateTopicAsync(Func<ValueTask<bool>> isCurrent)
    {
        try
        {
            await Broker.CreateTopicAsync(new NewTopic(Partition.Topic, 1, -1, ConfigsOf(State, Settings))).ConfigureAwait(false);
            return _isFirst = true;
        }
        catch (BrokerException exists) when (exists.Code == ErrorCode.TopicAlreadyExists)
        {
            // It is there since an earlier declaration, or is deleted just now.
        }
        try
        {
            var topicId = (await Broker.DescribeTopicAsync(Partition.Topic).ConfigureAwait(false)).TopicId;
            var cursors = (await Broker.Queues.ListAsync(Partition).ConfigureAwait(false)).Where(static cursor =>
                QueueTopics.IsCursor(cursor.Name)).ToArray();
            if (cursors.Any(cursor => cursor.Name == Cursor))
                return true;
            // Asked after the topic was found: a later queue of the name may have it.
            if (!await isCurrent().ConfigureAwait(false))
                return false;
            if (cursors.Length == 0)
            {
                await ConfigureAsync().ConfigureAwait(false);
                return _isFirst = true;
            }
            await Broker.DeleteTopicAsync(Partition.Topic, topicId).ConfigureAwait(false);
        }
        catch (BrokerException notYet) when (IsGone(notYet.Code) || notYet.Code.Action() == ErrorAction.Retry)
        {
            // It is created or deleted just now.
        }
        return false;
    }

    // Another broker has created the topic for this queue just now; or a client of another protocol, and retention would delete records
    // that the queue has not delivered.
    private async Task ConfigureAsync()
    {
        try
        {
            await Broker.AlterTopicAsync(Partition.Topic, ConfigsOf(State, Settings).ToDictionary(static config => config.Key,
                static config => (string?)config.Value)).ConfigureAwait(false);
        }
        catch (BrokerException refused) when (refused.Code is ErrorCode.InvalidConfig or ErrorCode.PolicyViolation)
        {
            Log.Write(EngineLogLevel.Warning, $"The topic '{Partition.Topic}' was there before queue '{State.Name}', and keeps its "
                + $"configuration, which may delete records that the queue has not delivered: {refused.Message}");
        }
    }

    private BrokerException Deleted() => new(ErrorCode.UnknownTopicOrPartition, $"Queue '{State.Name}' is deleted.");

    // The gateway drops what is too much, since it becomes dead letters.
    private static bool IsTrimmed(QueueSettings settings) =>
        HasLimit(settings) && settings is { DeadLetterExchange: not null, Overflow: OverflowBehavior.DropHead };

    private static bool HasLimit(QueueSettings settings) => settings is { MaxLength: not null } or { MaxLengthBytes: not null };

    private static Dictionary<string, string> ConfigsOf(QueueState state, QueueSettings settings)
    {
        var configs = new Dictionary<string, string>
        {
            // Times to live, and the times of streams, count from the broker's clock.
            ["message.timestamp.type"] = "LogAppendTime",
            // A body of 16 MiB, and its headers.
            ["max.message.bytes"] = "17825792",
        };
        if (state.Type != QueueType.Stream)
            configs["retention.until.settled"] = "true";
        else
            StreamQueue.ConfigsOf(state, settings).ToList().ForEach(config => configs[config.Key] = config.Value!);
        return configs;
    }

    /// <summary>Returns the options of a queue's cursor. The gateway counts deliveries itself, since it dead-letters. Where it drops what
    /// is too much, too, the cursor has limits that are never reached: it counts.</summary>
    public static QueueOptions OptionsOf(QueueSettings settings) => new()
    {
        TimeToLive = settings is { DeadLetterExchange: null, MessageTtl: { } ttl }
            ? ttl > AmqpMessage.LeastTtlOnLog ? ttl : AmqpMessage.LeastTtlOnLog : TimeSpan.Zero,
        HasRecordTimes = settings.DeadLetterExchange is null,
        MaxLength = LimitOf(settings, settings.MaxLength) ?? 0,
        HasNoBacklog = LimitOf(settings, settings.MaxLength) == 0,
        MaxBytes = LimitOf(settings, settings.MaxLengthBytes),
        Overflow = settings.Overflow == OverflowBehavior.DropHead ? QueueOverflow.DropHead : QueueOverflow.RefusePublish,
        IsSingleActiveConsumer = settings.SingleActiveConsumer,
        PriorityLevels = settings.MaxPriority is { } most ? Math.Min(most + 1, 32) : 0,
    };

    private static long? LimitOf(QueueSettings settings, long? limit) =>
        limit is null ? null : IsTrimmed(settings) ? MostLimit : Math.Min(limit.Value, MostLimit);

    /// <inheritdoc/>
    public Task<PublishOutcome> PublishAsync(AmqpMessage message)
    {
        var priority = Settings.MaxPriority is { } most ? Math.Min(message.Properties.Priority ?? 0, Math.Min(most, 31)) : default(int?);
        var expiresAt = Settings.DeadLetterExchange is null && State.Type != QueueType.Stream
            ? message.ExpiresOnLogAt(null, message.Published) : null;
        if (Refuses(Settings))
            return RefusingAsync(message, priority, expiresAt);
        var stored = _lane.AddAsync(message, priority, expiresAt);
        return IsTrimmed(Settings) ? TrimmedAsync(stored, message.IsDeadLetter) : stored;
    }

    private static bool Refuses(QueueSettings settings) => HasLimit(settings) && settings.Overflow != OverflowBehavior.DropHead;

    // A queue that refuses what does not fit takes or refuses a batch as a whole: it exceeds its limit by a batch, a tenth of that.
    private (int Messages, int Bytes) BatchLimits()
    {
        var settings = Settings;
        return !Refuses(settings) ? (PublishLane.MaxMessages, PublishLane.MaxBytes)
            : ((int)Math.Clamp((settings.MaxLength ?? long.MaxValue) / 10, 1, PublishLane.MaxMessages),
                (int)Math.Clamp((settings.MaxLengthBytes ?? long.MaxValue) / 10, 1, PublishLane.MaxBytes));
    }

    private async Task<PublishOutcome> RefusingAsync(AmqpMessage message, int? priority, long? expiresAt)
    {
        var outcome = message.Body.Length > Settings.MaxLengthBytes ? PublishOutcome.TooLarge
            : await _lane.AddAsync(message, priority, expiresAt).ConfigureAwait(false);
        if ((outcome is PublishOutcome.Refused or PublishOutcome.TooLarge)
            && Settings.Overflow == OverflowBehavior.RejectPublishDeadLetter)
            await DeadLetters.PublishAsync(message, State, Settings, DeathReason.MaxLength).ConfigureAwait(false);
        return outcome;
    }

    // A publish waits for no letters that are stuck. A dead letter waits for none: two queues that trim may send each other theirs.
    private async Task<PublishOutcome> TrimmedAsync(Task<PublishOutcome> stored, bool isDeadLetter)
    {
        var outcome = await stored.ConfigureAwait(false);
        var trimming = outcome == PublishOutcome.Accepted ? TrimAsync() : Task.CompletedTask;
        if (isDeadLetter || Letters.AreStuck)
            return outcome;
        try
        {
            await trimming.WaitAsync(MaxTrimming, Time).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // The queue is longer than its limits for a while.
        }
        return outcome;
    }

    /// <summary>Dead-letters what is above the queue's limits. What cannot be now is by a later call.</summary>
    public async Task TrimAsync()
    {
        try
        {
            if (IsTrimmed(Settings))
                await _trim.TrimAsync().ConfigureAwait(false);
        }
        catch (Exception fault) when (fault is QueueGoneException or BrokerException)
        {
            Log.Write(EngineLogLevel.Debug, $"Queue '{State.Name}' keeps more messages than its limits allow for a while: {fault.Message}");
        }
    }

    private async Task<PublishOutcome> StoreAsync(LaneBatch batch, Acks acks)
    {
        var outcome = await _appender.AppendAsync(batch, acks).ConfigureAwait(false);
        HeadMayChange();
        return outcome;
    }

    /// <summary>The first message may be another one.</summary>
    public void HeadMayChange() => Volatile.Read(ref _watch)?.HeadMayChange();

    /// <inheritdoc/>
    public async ValueTask<IQueueReader> AttachAsync(int priority)
    {
        var reader = new LogReader(this, priority);
        await WithLeaderAsync(async () =>
        {
            await reader.AttachAsync().ConfigureAwait(false);
            return true;
        }).ConfigureAwait(false);
        return reader;
    }

    /// <summary>Reads a message from the log; null if the log has it no more.</summary>
    /// <exception cref="BrokerException">It cannot be read now.</exception>
    public ValueTask<AmqpMessage?> ReadAsync(long offset) =>
        LogMessage.ReadAsync(Broker, Partition, offset, State.Name, StandardCodecs.All, Time);

    /// <inheritdoc/>
    public async ValueTask<QueueCounts> CountAllAsync() => CountsOf(await DescribeAsync().ConfigureAwait(false));

    /// <summary>Counts the messages of a queue that need not be open.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="virtualHost">The virtual host.</param>
    /// <param name="state">The queue.</param>
    /// <param name="time">The clock.</param>
    /// <param name="patience">How long to wait for a leader of its partition.</param>
    /// <exception cref="QueueGoneException">It is deleted, or has no topic yet.</exception>
    /// <exception cref="BrokerException">It cannot be reached.</exception>
    public static async ValueTask<QueueCounts> CountAllAsync(IBroker broker, string virtualHost, QueueState state, TimeProvider time,
        TimeSpan patience) => CountsOf(await WithLeaderAsync(() => DescribeAsync(broker, PartitionOf(virtualHost, state),
            QueueTopics.CursorOf(state.Id)), time, patience).ConfigureAwait(false));

    /// <summary>Returns the messages of a queue that its cursor describes.</summary>
    public static QueueCounts CountsOf(QueueDescription description) =>
        new(Math.Max(description.Unsettled - description.Held, 0), description.Held, description.WaitingBytes);

    /// <inheritdoc/>
    public async ValueTask ApplyAsync(QueueSettings settings)
    {
        await Broker.Queues.AlterAsync(Partition, Cursor, OptionsOf(settings)).ConfigureAwait(false);
        Settings = settings;
        await TrimAsync().ConfigureAwait(false);
        lock (_lock)
        {
            if (settings.DeadLetterExchange is null || _watch is not null)
                return;
            _watch = new DeadLetterWatch(this, _isShared);
        }
        _watch.Start();
    }

    /// <inheritdoc/>
    public async ValueTask<long> PurgeAsync()
    {
        var before = await DescribeAsync().ConfigureAwait(false);
        // The end is found once: an attempt that is carried out late purges nothing that was published meanwhile.
        var end = await WithLeaderAsync(FindEndAsync).ConfigureAwait(false);
        await WithLeaderAsync(async () =>
        {
            await Broker.Queues.PurgeAsync(Partition, Cursor, end).ConfigureAwait(false);
            return true;
        }).ConfigureAwait(false);
        var after = await DescribeAsync().ConfigureAwait(false);
        return after.Purged - before.Purged;
    }

    /// <inheritdoc/>
    public async ValueTask DeleteAsync()
    {
        await DisposeAsync().ConfigureAwait(false);
        try
        {
            await Broker.DeleteTopicAsync(Partition.Topic).ConfigureAwait(false);
        }
        catch (BrokerException gone) when (gone.Code == ErrorCode.UnknownTopicOrPartition)
        {
            // Deleted already.
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _trim.DisposeAsync().ConfigureAwait(false);
        if (_watch is not null)
            await _watch.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>Whether a fault means that the queue is deleted.</summary>
    public static bool IsGone(ErrorCode code) => code is ErrorCode.UnknownTopicOrPartition or ErrorCode.UnknownTopicId
        or ErrorCode.GroupIdNotFound;

    // Repeats what had no effect, and what has none the second time.
    private ValueTask<T> WithLeaderAsync<T>(Func<ValueTask<T>> call) => WithLeaderAsync(call, Time, Patience);

    private static async ValueTask<T> WithLeaderAsync<T>(Func<ValueTask<T>> call, TimeProvider time, TimeSpan patience)
    {
        var began = time.GetTimestamp();
        while (true)
        {
            try
            {
                return await call().ConfigureAwait(false);
            }
            catch (BrokerException fault) when (fault.Action == ErrorAction.Retry && !IsGone(fault.Code)
                && time.GetElapsedTime(began) < patience)
            {
                await Task.Delay(LeaderPause, time).ConfigureAwait(false);
            }
        }
    }

    private async ValueTask<long> FindEndAsync()
    {
        var found = await Broker.FindOffsetAsync(Partition, OffsetSpec.Latest).ConfigureAwait(false);
        return found.Error == ErrorCode.None ? found.Offset : throw new BrokerException(found.Error, found.Message ?? "");
    }

    private ValueTask<QueueDescription> DescribeAsync() => WithLeaderAsync(() => DescribeAsync(Broker, Partition, Cursor));

    private static async ValueTask<QueueDescription> DescribeAsync(IBroker broker, TopicPartition partition, string cursor)
    {
        try
        {
            return await broker.Queues.DescribeAsync(partition, cursor).ConfigureAwait(false);
        }
        catch (BrokerException gone) when (IsGone(gone.Code))
        {
            throw new QueueGoneException(gone);
        }
    }
}
