using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>The consumer. See <see cref="IConsumer{TKey, TValue}"/>.</summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
internal sealed class Consumer<TKey, TValue> : IConsumer<TKey, TValue>, IConsumedPositions
{
    private readonly IDeserializer<TKey> _keys;
    private readonly IDeserializer<TValue> _values;
    private readonly ConsumerCore _core;
    private readonly RecordReads<TKey, TValue> _reads;
    // The record that the application holds, guarded by the buffer's lock. It is done when the application asks for the next.
    private FetchSession? _handedOut;
    private long _handedOutTo;
    private int _handedOutEpoch = -1;

    /// <summary>Creates a consumer over a broker. It reads nothing before it subscribes or is assigned partitions.</summary>
    /// <param name="broker">The broker; it is not disposed with the consumer.</param>
    /// <param name="options">How it reads and commits.</param>
    /// <param name="keys">Deserializes keys; null for the built-in format of the type, see <see cref="Serdes.For{T}"/>.</param>
    /// <param name="values">Deserializes values; null for the built-in format of the type.</param>
    /// <param name="logger">Its logger; null for no logging.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no built-in format for the type.</exception>
    public Consumer(IBroker broker, ConsumerOptions options, IDeserializer<TKey>? keys = null, IDeserializer<TValue>? values = null,
        ILogger? logger = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        _keys = keys ?? Serdes.For<TKey>();
        _values = values ?? Serdes.For<TValue>();
        _core = new ConsumerCore(broker, options, options.Reader ?? new ReaderOptions(), logger ?? NullLogger.Instance)
        {
            Facade = this,
            BeforeDrain = Abandon,
            Position = static claim => claim.ToCommitHandedOut(),
        };
        _reads = new RecordReads<TKey, TValue>(_core.Buffer, _core.Time, TryRead);
    }

    /// <inheritdoc/>
    public ConsumerGroupMetadata GroupMetadata => _core.GroupMetadata;

    /// <inheritdoc/>
    public IReadOnlyCollection<TopicPartition> Assignment => _core.Assignment;

    /// <inheritdoc/>
    public IReadOnlyCollection<TopicPartition> Paused => _core.Paused;

    /// <inheritdoc/>
    public void Subscribe(params IReadOnlyList<string> topics) => _core.Subscribe(topics);

    /// <inheritdoc/>
    public void SubscribePattern(string regex) => _core.SubscribePattern(regex);

    /// <inheritdoc/>
    public void Assign(IEnumerable<TopicPartition> partitions, ReadFrom? start = null) => _core.Assign(partitions, start);

    /// <inheritdoc/>
    public Task UnsubscribeAsync(CancellationToken cancellationToken = default) => _core.UnsubscribeAsync(cancellationToken);

    /// <inheritdoc/>
    public void Seek(TopicPartition partition, ReadFrom position) => _core.Seek(partition, position);

    /// <inheritdoc/>
    public void Pause(params IEnumerable<TopicPartition> partitions) => _core.Pause(partitions);

    /// <inheritdoc/>
    public void Resume(params IEnumerable<TopicPartition> partitions) => _core.Resume(partitions);

    /// <inheritdoc/>
    public ValueTask<long> GetPositionAsync(TopicPartition partition, CancellationToken cancellationToken = default) =>
        _core.GetPositionAsync(partition, cancellationToken);

    /// <inheritdoc/>
    public long GetHighWatermark(TopicPartition partition) => _core.GetHighWatermark(partition);

    /// <inheritdoc/>
    public Guid GetTopicId(TopicPartition partition) => _core.GetTopicId(partition);

    /// <inheritdoc/>
    public Task<IReadOnlyDictionary<TopicPartition, CommittedOffset>> GetCommittedAsync(IEnumerable<TopicPartition> partitions,
        CancellationToken cancellationToken = default) =>
        _core.GetCommittedAsync(partitions, cancellationToken);

    /// <inheritdoc/>
    public Task CommitAsync(CancellationToken cancellationToken = default) => _core.CommitAsync(cancellationToken);

    /// <inheritdoc/>
    public Task CommitAsync(IEnumerable<TopicPartitionOffset> offsets, CancellationToken cancellationToken = default) =>
        _core.CommitAsync(offsets, cancellationToken);

    /// <inheritdoc/>
    public Task CommitAsync(ConsumeResult<TKey, TValue> record, string metadata = "", CancellationToken cancellationToken = default) =>
        _core.CommitAsync([new TopicPartitionOffset(record.TopicPartition, record.Offset + 1, record.LeaderEpoch, metadata)],
            cancellationToken);

    /// <inheritdoc/>
    public void Commit(Action<Exception?>? callback = null) => _core.Commit(callback);

    /// <inheritdoc/>
    public Task CloseAsync(CancellationToken cancellationToken = default) => _core.CloseAsync(cancellationToken);

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _core.DisposeAsync();

    /// <inheritdoc/>
    public ValueTask<ConsumeResult<TKey, TValue>> ReadAsync(CancellationToken cancellationToken = default) =>
        _reads.ReadAsync(cancellationToken);

    /// <inheritdoc/>
    public ValueTask<ConsumeResult<TKey, TValue>?> ReadAsync(TimeSpan maxWait, CancellationToken cancellationToken = default) =>
        _reads.ReadAsync(maxWait, cancellationToken);

    /// <summary>Enumerates all records until <paramref name="cancellationToken"/> is cancelled (which throws) or the consumer is
    /// closed.</summary>
    public async IAsyncEnumerator<ConsumeResult<TKey, TValue>> GetAsyncEnumerator(CancellationToken cancellationToken = default)
    {
        while (true)
        {
            ConsumeResult<TKey, TValue> record;
            try
            {
                record = await ReadAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (ObjectDisposedException) when (_core.IsClosing)
            {
                yield break;
            }
            yield return record;
        }
    }

    /// <inheritdoc/>
    public IReadOnlyList<ClaimedOffset> ToCommit() => _core.ToCommit();

    /// <summary>The session of the record that the application holds; null if it holds none.</summary>
    public FetchSession? HandedOut
    {
        get
        {
            lock (_core.Buffer.Stepping)
                return _handedOut;
        }
    }

    private bool TryRead(out ConsumeResult<TKey, TValue> record)
    {
        lock (_core.Buffer.Stepping)
        {
            ObjectDisposedException.ThrowIf(_core.IsClosing, this);
            FinishLast(isDone: true);
            while (_core.TryMoveNext(out var chunk))
            {
                var session = chunk.Session;
                var read = chunk.Deserialize(_keys, _values);
                if (!_core.TryHandOut(chunk))
                    continue; // Revoked in the meantime; its session has stopped.
                chunk.Accept();
                (_handedOut, _handedOutTo, _handedOutEpoch) = (session, read.Offset + 1, read.LeaderEpoch);
                record = read;
                return true;
            }
            record = default;
            return false;
        }
    }

    /// <summary>Returns the last record as not done: the consumer is closing, and the application will not ask for the next record, which
    /// would mark it as done.</summary>
    private void Abandon()
    {
        lock (_core.Buffer.Stepping)
            FinishLast(isDone: false);
    }

    private void FinishLast(bool isDone)
    {
        if (_handedOut is not { } session)
            return;
        _handedOut = null;
        ((AssignedPartition)session.Owner!).End(session, isDone ? _handedOutTo : -1, _handedOutEpoch);
    }
}
