using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>The partition reader. See <see cref="IPartitionReader{TKey, TValue}"/>.</summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
internal sealed class PartitionReader<TKey, TValue> : IPartitionReader<TKey, TValue>
{
    private readonly IDeserializer<TKey> _keys;
    private readonly IDeserializer<TValue> _values;
    private readonly FetchBuffer _buffer;
    private readonly RecordReads<TKey, TValue> _reads;

    /// <summary>Creates a reader over a broker. It reads nothing before partitions are assigned.</summary>
    /// <param name="broker">The broker; it is not disposed with the reader.</param>
    /// <param name="keys">Deserializes keys; null for the built-in format of the type, see <see cref="Serdes.For{T}"/>.</param>
    /// <param name="values">Deserializes values; null for the built-in format of the type.</param>
    /// <param name="options">Null for the defaults.</param>
    /// <param name="logger">Logs retries; null for no logging.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no built-in format for the type.</exception>
    public PartitionReader(IBroker broker, IDeserializer<TKey>? keys = null, IDeserializer<TValue>? values = null,
        ReaderOptions? options = null, ILogger? logger = null)
    {
        ArgumentNullException.ThrowIfNull(broker);
        _keys = keys ?? Serdes.For<TKey>();
        _values = values ?? Serdes.For<TValue>();
        options ??= new ReaderOptions();
        options.Validate();
        _buffer = new FetchBuffer(broker, options, logger ?? NullLogger.Instance);
        _reads = new RecordReads<TKey, TValue>(_buffer, options.TimeProvider, TryRead);
    }

    /// <inheritdoc/>
    public IReadOnlyCollection<TopicPartition> Assignment => _buffer.Partitions;

    /// <inheritdoc/>
    public void Assign(TopicPartition partition, ReadFrom start) => _buffer.Begin(partition, start.Chosen);

    /// <inheritdoc/>
    public void Assign(IEnumerable<TopicPartition> partitions, ReadFrom start)
    {
        ArgumentNullException.ThrowIfNull(partitions);
        foreach (var partition in partitions)
            Assign(partition, start);
    }

    /// <inheritdoc/>
    public void Unassign(TopicPartition partition) => _buffer.End(partition);

    /// <inheritdoc/>
    public void Seek(TopicPartition partition, ReadFrom position)
    {
        _ = Session(partition);
        _buffer.Begin(partition, position.Chosen);
    }

    /// <inheritdoc/>
    public async ValueTask<long> GetPositionAsync(TopicPartition partition, CancellationToken cancellationToken = default)
    {
        var session = Session(partition);
        await session.Started.WaitAsync(cancellationToken).ConfigureAwait(false);
        return session.Position;
    }

    /// <inheritdoc/>
    public long GetHighWatermark(TopicPartition partition) => Session(partition).HighWatermark;

    /// <inheritdoc cref="FetchSession.ExhaustedTo"/>
    internal long ExhaustedTo(TopicPartition partition) => Session(partition).ExhaustedTo;

    /// <inheritdoc/>
    public ValueTask<ConsumeResult<TKey, TValue>> ReadAsync(CancellationToken cancellationToken = default) =>
        _reads.ReadAsync(cancellationToken);

    /// <inheritdoc/>
    public ValueTask<ConsumeResult<TKey, TValue>?> ReadAsync(TimeSpan maxWait, CancellationToken cancellationToken = default) =>
        _reads.ReadAsync(maxWait, cancellationToken);

    /// <summary>Enumerates all records from the positions on, without end, until <paramref name="cancellationToken"/> is
    /// cancelled.</summary>
    public async IAsyncEnumerator<ConsumeResult<TKey, TValue>> GetAsyncEnumerator(CancellationToken cancellationToken = default)
    {
        while (true)
            yield return await ReadAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Stops fetching and releases all memory. Must not be called during a read.</summary>
    public ValueTask DisposeAsync() => _buffer.DisposeAsync();

    private FetchSession Session(TopicPartition partition) => _buffer.Find(partition)
        ?? throw new InvalidOperationException($"{partition} is not assigned to this reader. Call Assign first.");

    private bool TryRead(out ConsumeResult<TKey, TValue> record)
    {
        if (!_buffer.TryMoveNext(out var chunk))
        {
            record = default;
            return false;
        }
        record = chunk.Deserialize(_keys, _values);
        chunk.Accept();
        return true;
    }
}
