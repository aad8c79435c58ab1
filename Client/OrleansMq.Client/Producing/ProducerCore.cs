using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace OrleansMq.Client;

/// <summary>
/// A producer of bytes: what producers of all types have in common. <see cref="BufferMemory"/> admits records, <see cref="TopicQueue"/>
/// finds their partition, <see cref="PartitionQueue"/> batches and sends them.
/// </summary>
internal sealed partial class ProducerCore : IAsyncDisposable
{
    /// <summary>
    /// After this time without an acknowledgement a partition's next batch is sent alone, see <see cref="SendQueue"/>. It is far below one
    /// day, after which brokers forget a producer.
    /// </summary>
    public static readonly TimeSpan ProducerRest = TimeSpan.FromMinutes(10);

    private readonly ConcurrentDictionary<string, TopicQueue> _topics = new(StringComparer.Ordinal);
    private readonly BufferMemory _buffer;
    private readonly ILogger _logger;
    private TopicQueue? _lastTopic;
    private FlushGeneration _generation = new(null);
    private volatile bool _disposed;

    /// <summary>Creates a producer of bytes.</summary>
    /// <param name="target">What it sends to.</param>
    /// <param name="options">The options.</param>
    /// <param name="logger">Its logger.</param>
    /// <param name="batches">The memory of batches, if it is shared with other producers of the same options; null: its own.</param>
    public ProducerCore(IProduceTarget target, ProducerOptions options, ILogger logger, BatchPool? batches = null)
    {
        options.Validate();
        Target = target;
        Options = options;
        _logger = logger;
        Clock = new ProducerClock(options.TimeProvider);
        Partitioner = options.Partitioner ?? new DefaultPartitioner();
        DeliveryTicks = Clock.Ticks(options.DeliveryTimeout);
        _buffer = new BufferMemory(options.BufferMemory);
        _batches = batches ?? new BatchPool(options);
        _ownsBatches = batches is null;
    }

    public IProduceTarget Target { get; }
    public ProducerOptions Options { get; }
    public ProducerClock Clock { get; }
    public IPartitioner Partitioner { get; }
    public long DeliveryTicks { get; }

    /// <summary>Counts a batch (or a record outside a batch) towards the next flush.</summary>
    public FlushGeneration JoinGeneration() => FlushGeneration.Join(ref _generation);

    /// <summary>Accepts a record: into its batch if there is room and its topic is known, otherwise into a queue for both.</summary>
    /// <param name="topicName">The topic.</param>
    /// <param name="record">The record, over the caller's memory.</param>
    /// <param name="wantsAcceptance">Whether the caller will await <see cref="PendingRecord.Accepted"/>.</param>
    /// <returns>Null if the record is in its batch; otherwise the waiting record.</returns>
    /// <exception cref="ProduceException">The record is rejected.</exception>
    public PendingRecord? Accept(string topicName, in RecordData record, bool wantsAcceptance)
    {
        ObjectDisposedException.ThrowIf(_disposed, typeof(IProducer<,>));
        if (record.Size > Options.MaxRequestSize)
            throw TooLarge(topicName, record);
        var topic = FindTopic(topicName);
        if (topic.PartitionsFor(record) is { } partitions && _buffer.TryTake(record.Size))
        {
            ChooseOrGiveBack(topic, partitions, record).Append(record);
            return null;
        }
        return AcceptLater(topic, record, wantsAcceptance);
    }

    /// <summary>Copies a record that is sent together with others.</summary>
    public PendingRecord Copy(string topic, in RecordData record) => new(FindTopic(topic), record, Clock.Now, _generation);

    /// <summary>Accepts records that go into one batch: at once if there is room, otherwise into a queue for it.</summary>
    /// <param name="records">The records, of one topic. The recipient of the first hears for all.</param>
    /// <exception cref="ProduceException">The records are rejected.</exception>
    public PendingRecord AcceptTogether(IReadOnlyList<PendingRecord> records)
    {
        ObjectDisposedException.ThrowIf(_disposed, typeof(IProducer<,>));
        var topic = records[0].Topic;
        var size = records.Sum(static record => (long)record.Room);
        if (size > Options.MaxRequestSize)
        {
            throw new ProduceException(ErrorCode.MessageTooLarge, $"The records take {size} bytes together; ProducerOptions.MaxRequestSize "
                + $"is {Options.MaxRequestSize}. Raise it, and the topic's max.message.bytes, or send fewer together.",
                records[0].TopicPartition, records[0].Key);
        }
        var first = new PendingRecord(topic, records[0].Data, Clock.Now, JoinGeneration());
        first.TakeAlong([.. records.Skip(1)]);
        Queue(first);
        return first;
    }

    /// <summary>Withdraws a record that still waits for room.</summary>
    /// <returns>Whether it was withdrawn, and so is not sent.</returns>
    public bool Withdraw(PendingRecord record)
    {
        if (!_buffer.Withdraw(record))
            return false;
        Target.OnFailed(Cancelled(record.TopicPartition));
        record.Generation.Done();
        return true;
    }

    /// <summary>The failure of a record that its sender cancelled before it was accepted.</summary>
    public static ProduceException Cancelled(TopicPartition partition) =>
        new(ErrorCode.RequestTimedOut, $"{partition}: the sender cancelled before the record was accepted. It is not sent.", partition);

    public Task FlushAsync(CancellationToken cancellationToken)
    {
        var done = FlushGeneration.End(ref _generation);
        Urge();
        return done.WaitAsync(cancellationToken);
    }

    /// <summary>Rejects further records and waits for the accepted ones, at most until the last one's delivery deadline.</summary>
    public async ValueTask DisposeAsync()
    {
        _disposed = true;
        await FlushAsync(CancellationToken.None).ConfigureAwait(false);
        _deadlineTimer?.Dispose();
        foreach (var partition in _partitions)
            partition.Dispose();
        if (_ownsBatches)
            _batches.Dispose();
    }

    private TopicQueue FindTopic(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        var last = Volatile.Read(ref _lastTopic);
        if (last is not null && ReferenceEquals(last.Name, name))
            return last;
        var topic = _topics.GetOrAdd(name, static (name, producer) => new TopicQueue(producer, name), this);
        Volatile.Write(ref _lastTopic, topic);
        return topic;
    }

    private PartitionQueue ChooseOrGiveBack(TopicQueue topic, PartitionQueue[] partitions, in RecordData record)
    {
        try
        {
            return topic.Choose(partitions, record);
        }
        catch
        {
            _buffer.Release(record.Size);
            throw;
        }
    }

    private PendingRecord AcceptLater(TopicQueue topic, in RecordData record, bool wantsAcceptance)
    {
        var pending = new PendingRecord(topic, record, Clock.Now, JoinGeneration());
        if (wantsAcceptance)
            _ = pending.Accepted;
        Queue(pending);
        return pending;
    }

    private void Queue(PendingRecord pending)
    {
        if (_buffer.TakeOrQueue(pending))
        {
            pending.IsGone = true;
            pending.Topic.Append(pending);
            return;
        }
        ArmDeadline(pending.SentAt);
        // A lingering batch holds room that this record waits for.
        Urge();
    }

    private void Urge()
    {
        if (Options.Linger == TimeSpan.Zero)
            return;
        foreach (var partition in _partitions)
            partition.Urge();
    }

    private ProduceException TooLarge(string topic, in RecordData record) => new(ErrorCode.MessageTooLarge,
        $"The record takes {record.Size} bytes; ProducerOptions.MaxRequestSize is {Options.MaxRequestSize}. Raise it, and the topic's "
        + "max.message.bytes, or send less.",
        new TopicPartition(topic, record.Partition), record.HasKey ? record.Key.ToArray() : (ReadOnlyMemory<byte>?)null);
}
