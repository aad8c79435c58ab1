using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using OrleansMq.Brokers;
using OrleansMq.Records;

namespace OrleansMq.Client;

/// <summary>The partition reader. See <see cref="IPartitionReader{TKey, TValue}"/>.</summary>
/// <typeparam name="TKey">The type of keys.</typeparam>
/// <typeparam name="TValue">The type of values.</typeparam>
public sealed class PartitionReader<TKey, TValue> : IPartitionReader<TKey, TValue>
{
    private readonly IBroker _broker;
    private readonly IDeserializer<TKey> _keys;
    private readonly IDeserializer<TValue> _values;
    private readonly ReaderOptions _options;
    private readonly ILogger _logger;
    private readonly Lock _gate = new();
    private readonly Dictionary<TopicPartition, FetchSession> _sessions = [];
    private readonly List<Task> _stopping = [];
    // Bounded by the sessions: each has two slots, and one error.
    private readonly Channel<FetchedChunk> _chunks = Channel.CreateUnbounded<FetchedChunk>(new UnboundedChannelOptions { SingleReader = true });
    private ChunkReader? _current;
    private ConsumeException? _failure;
    private FetchSession? _failed;
    private int _partitions;
    private bool _disposed;

    /// <summary>A reader over a broker. It reads nothing before partitions are assigned.</summary>
    /// <param name="broker">The broker; it is not disposed with the reader.</param>
    /// <param name="keys">Deserializes keys; null for the built-in format of the type, see <see cref="Serdes.For{T}"/>.</param>
    /// <param name="values">Deserializes values; null for the built-in format of the type.</param>
    /// <param name="options">Null for the defaults.</param>
    /// <param name="logger">Where retries are logged; null for nowhere.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="InvalidOperationException">There is no built-in format for the type.</exception>
    public PartitionReader(IBroker broker, IDeserializer<TKey>? keys = null, IDeserializer<TValue>? values = null, ReaderOptions? options = null,
        ILogger? logger = null)
    {
        ArgumentNullException.ThrowIfNull(broker);
        _broker = broker;
        _keys = keys ?? Serdes.For<TKey>();
        _values = values ?? Serdes.For<TValue>();
        _options = options ?? new ReaderOptions();
        _options.Validate();
        _logger = logger ?? NullLogger.Instance;
    }

    /// <inheritdoc/>
    public IReadOnlyCollection<TopicPartition> Assignment
    {
        get
        {
            lock (_gate)
                return [.. _sessions.Keys];
        }
    }

    /// <inheritdoc/>
    public void Assign(TopicPartition partition, ReadFrom start)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            Begin(partition, start.Chosen);
        }
    }

    /// <inheritdoc/>
    public void Assign(IEnumerable<TopicPartition> partitions, ReadFrom start)
    {
        ArgumentNullException.ThrowIfNull(partitions);
        foreach (var partition in partitions)
            Assign(partition, start);
    }

    /// <inheritdoc/>
    public void Unassign(TopicPartition partition)
    {
        lock (_gate)
            End(partition);
    }

    /// <inheritdoc/>
    public void Seek(TopicPartition partition, ReadFrom position)
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            _ = Session(partition);
            Begin(partition, position.Chosen);
        }
    }

    /// <inheritdoc/>
    public async ValueTask<long> GetPositionAsync(TopicPartition partition, CancellationToken cancellationToken = default)
    {
        FetchSession session;
        lock (_gate)
            session = Session(partition);
        await session.Started.WaitAsync(cancellationToken).ConfigureAwait(false);
        return session.Position;
    }

    /// <inheritdoc/>
    public long GetHighWatermark(TopicPartition partition)
    {
        lock (_gate)
            return Session(partition).HighWatermark;
    }

    /// <inheritdoc/>
    public ValueTask<ConsumeResult<TKey, TValue>> ReadAsync(CancellationToken cancellationToken = default)
    {
        if (cancellationToken.IsCancellationRequested)
            return ValueTask.FromCanceled<ConsumeResult<TKey, TValue>>(cancellationToken);
        return TryRead(out var record) ? new ValueTask<ConsumeResult<TKey, TValue>>(record) : WaitAndReadAsync(cancellationToken);
    }

    /// <inheritdoc/>
    public async ValueTask<ConsumeResult<TKey, TValue>?> ReadAsync(TimeSpan maxWait, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (TryRead(out var record))
            return record;
        if (maxWait == TimeSpan.Zero)
            return null;
        using var deadline = new CancellationTokenSource(maxWait, _options.TimeProvider);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        try
        {
            return await WaitAndReadAsync(either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (deadline.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            return null;
        }
    }

    /// <summary>All records from the positions on, without end, until <paramref name="cancellationToken"/> is cancelled.</summary>
    public async IAsyncEnumerator<ConsumeResult<TKey, TValue>> GetAsyncEnumerator(CancellationToken cancellationToken = default)
    {
        while (true)
            yield return await ReadAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Stops fetching and gives back all memory. Not while a read is under way.</summary>
    public async ValueTask DisposeAsync()
    {
        Task[] loops;
        lock (_gate)
        {
            if (_disposed)
                return;
            _disposed = true;
            foreach (var partition in _sessions.Keys.ToArray())
                End(partition);
            loops = [.. _stopping];
        }
        await Task.WhenAll(loops).ConfigureAwait(false);
        _chunks.Writer.TryComplete();
        _current?.Dispose();
        while (_chunks.Reader.TryRead(out var chunk))
            chunk.Result?.Dispose();
    }

    private FetchSession Session(TopicPartition partition) => _sessions.TryGetValue(partition, out var session)
        ? session
        : throw new InvalidOperationException($"{partition} is not assigned to this reader. Call Assign first.");

    private void Begin(TopicPartition partition, ReadFrom start)
    {
        End(partition);
        var session = new FetchSession(_broker, partition, start, _options, FetchSize, _chunks.Writer, _logger);
        _sessions[partition] = session;
        Volatile.Write(ref _partitions, _sessions.Count);
        session.Start();
    }

    private void End(TopicPartition partition)
    {
        if (!_sessions.Remove(partition, out var session))
            return;
        session.Stop();
        _stopping.RemoveAll(static loop => loop.IsCompleted);
        _stopping.Add(session.Loop);
        Volatile.Write(ref _partitions, _sessions.Count);
    }

    /// <summary>Bytes to fetch at once: each partition's share of what may be held ahead, in as many parts as it may hold.</summary>
    private int FetchSize() =>
        Math.Min(_options.MaxFetchBytes, Math.Max(1, _options.PrefetchBytes / (FetchSession.ChunksAhead * Math.Max(1, Volatile.Read(ref _partitions)))));

    private async ValueTask<ConsumeResult<TKey, TValue>> WaitAndReadAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            if (!await _chunks.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
                throw new ObjectDisposedException(nameof(PartitionReader<TKey, TValue>));
            if (TryRead(out var record))
                return record;
        }
    }

    private bool TryRead(out ConsumeResult<TKey, TValue> record)
    {
        while (true)
        {
            ThrowIfFailed();
            if (_current is { IsStopped: false } current)
            {
                if (MoveNext(current))
                {
                    record = Deserialize(current);
                    return true;
                }
                if (_failure is not null)
                    continue;
            }
            _current?.Dispose();
            _current = null;
            if (!_chunks.Reader.TryRead(out var chunk))
            {
                record = default;
                return false;
            }
            Enter(chunk);
        }
    }

    private void Enter(FetchedChunk chunk)
    {
        if (chunk.Error is { } error)
            (_failure, _failed) = (error, chunk.Session);
        else
            _current = new ChunkReader(chunk.Session, chunk.Result!, _options);
    }

    /// <summary>A failure stands until its partition is sought or unassigned: going on with others would hide it.</summary>
    private void ThrowIfFailed()
    {
        if (_failure is null)
            return;
        if (_failed!.IsStopped)
        {
            (_failure, _failed) = (null, null);
            return;
        }
        throw _failure;
    }

    private bool MoveNext(ChunkReader chunk)
    {
        try
        {
            return chunk.MoveNext();
        }
        catch (Exception e) when (e is RecordBatchException or CodecUnavailableException)
        {
            var code = e is RecordBatchException ? ErrorCode.CorruptMessage : ErrorCode.UnsupportedCompressionType;
            var session = chunk.Session;
            _failure = new ConsumeException(code, session.Partition, session.Position,
                $"{session.Partition} cannot be read at offset {session.Position}: {e.Message}", e);
            _failed = session;
            return false;
        }
    }

    private ConsumeResult<TKey, TValue> Deserialize(ChunkReader chunk)
    {
        ref readonly var record = ref chunk.Record;
        var session = chunk.Session;
        var part = "key";
        try
        {
            var key = _keys.Deserialize(record.Key.GetValueOrDefault().Span, record.Key is null);
            part = "value";
            var value = _values.Deserialize(record.Value.GetValueOrDefault().Span, record.Value is null);
            var result = new ConsumeResult<TKey, TValue>(session.Partition, record.Offset, record.Timestamp, key, value, CopyHeaders(record), chunk.LeaderEpoch);
            chunk.Accept();
            return result;
        }
        catch (Exception e)
        {
            // The record stays the current one: whoever reads again meets it again, until the partition is sought.
            throw new DeserializationException(session.Partition, record.Offset, part, e);
        }
    }

    /// <summary>The headers, out of memory that goes back to its pool.</summary>
    private static IReadOnlyList<RecordHeader> CopyHeaders(in Record record)
    {
        if (record.HeaderCount == 0)
            return [];
        var headers = record.ReadHeaders();
        for (var i = 0; i < headers.Length; i++)
            headers[i] = new RecordHeader(headers[i].Key.ToArray(), headers[i].Value is { } value ? value.ToArray() : (ReadOnlyMemory<byte>?)null);
        return headers;
    }
}
