using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Client;

/// <summary>What was fetched, or why nothing more comes; without a session only a mark that something else has changed.</summary>
internal readonly record struct FetchedChunk(FetchSession? Session, FetchResult? Result, ConsumeException? Error);

/// <summary>
/// Fetches one partition from one start on, ahead of the application, until it is stopped or fails. A seek ends it and begins another, so
/// what it fetched is recognised as old by the object alone.
/// </summary>
internal sealed partial class FetchSession
{
    /// <summary>Chunks that a partition holds: one that is being read, and one ahead.</summary>
    public const int ChunksAhead = 2;

    private readonly IBroker _broker;
    private readonly ReaderOptions _options;
    private readonly ILogger _logger;
    private readonly ReadFrom _start;
    private readonly Func<int> _fetchSize;
    private readonly ChannelWriter<FetchedChunk> _chunks;
    private readonly CancellationTokenSource _stop = new();
    private readonly SemaphoreSlim _slots = new(ChunksAhead);
    private readonly TaskCompletionSource<long> _started = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _highWatermark = -1;
    private volatile bool _isHeld;

    public FetchSession(IBroker broker, TopicPartition partition, ReadFrom start, ReaderOptions options, Func<int> fetchSize,
        ChannelWriter<FetchedChunk> chunks, ILogger logger)
    {
        _broker = broker;
        Partition = partition;
        _start = start;
        _options = options;
        _fetchSize = fetchSize;
        _chunks = chunks;
        _logger = logger;
    }

    public TopicPartition Partition { get; }

    /// <summary>Where it began.</summary>
    public ReadFrom Start => _start;

    /// <summary>The application's position: the offset it reads next; -1 before the start is found. Moved by the reader.</summary>
    public long Position { get; set; } = -1;

    public long HighWatermark => Volatile.Read(ref _highWatermark);

    /// <summary>Completes with the offset of the start.</summary>
    public Task<long> Started => _started.Task;

    /// <summary>Whatever whoever began it wants to find here.</summary>
    public object? Owner { get; init; }

    /// <summary>The id of its topic; empty where it is not known.</summary>
    public Guid TopicId { get; init; }

    /// <summary>Whether its records wait; it fetches ahead all the same, as far as it may.</summary>
    public bool IsHeld
    {
        get => _isHeld;
        set => _isHeld = value;
    }

    /// <summary>Whether it was stopped: what it fetched is old.</summary>
    public bool IsStopped => _stop.IsCancellationRequested;

    /// <summary>The loop; completes when it has ended.</summary>
    public Task Loop { get; private set; } = Task.CompletedTask;

    public void Run() => Loop = Task.Run(RunAsync);

    public void Stop() => _stop.Cancel();

    /// <summary>A chunk was read to its end: there is room for another.</summary>
    public void ReturnSlot() => _slots.Release();

    private async Task RunAsync()
    {
        try
        {
            var offset = await FindStartAsync().ConfigureAwait(false);
            Position = offset;
            _started.TrySetResult(offset);
            while (true)
            {
                await _slots.WaitAsync(_stop.Token).ConfigureAwait(false);
                var result = await FetchAsync(offset).ConfigureAwait(false);
                // Stopped meanwhile: nobody would read it.
                if (IsStopped || !_chunks.TryWrite(new FetchedChunk(this, result, null)))
                {
                    result.Dispose();
                    return;
                }
                offset = OffsetAfter(result.Records.Span, offset);
            }
        }
        catch (OperationCanceledException) when (IsStopped)
        {
            _started.TrySetCanceled();
        }
        catch (ConsumeException e)
        {
            Fail(e);
        }
        catch (Exception e)
        {
            // Neither an answer nor a fault that a broker has a name for: the application is to see it, not wait for ever.
            Fail(new ConsumeException(ErrorCode.UnknownServerError, Partition, Position, $"{Partition} cannot be read: {e.GetType().Name}: "
                + $"{e.Message}", e));
        }
    }

    /// <summary>Ends it with an error, which the reader meets after all that was fetched before.</summary>
    public void Fail(ConsumeException error)
    {
        _started.TrySetException(error);
        _ = _started.Task.Exception; // Whoever waits for the start sees it; nobody has to.
        _chunks.TryWrite(new FetchedChunk(this, null, error));
    }

    private async Task<long> FindStartAsync()
    {
        if (_start.ExactOffset is { } exact)
            return exact;
        var found = await FindAsync(_start.Spec).ConfigureAwait(false);
        // No record is as late as the time that was asked for: behind the last one.
        return found >= 0 ? found : await FindAsync(OffsetSpec.Latest).ConfigureAwait(false);
    }

    private async Task<long> FindAsync(OffsetSpec spec)
    {
        var retries = new Retries(_options);
        while (true)
        {
            ErrorCode code;
            string? message;
            try
            {
                var found = await _broker.FindOffsetAsync(Partition, spec, _stop.Token).ConfigureAwait(false);
                if (found.Error == ErrorCode.None)
                    return found.Offset;
                (code, message) = (found.Error, found.Message);
            }
            catch (BrokerException e)
            {
                (code, message) = (e.Code, e.Message);
            }
            await RetryOrThrowAsync(retries, code, message, -1).ConfigureAwait(false);
        }
    }

    /// <summary>Fetches until there are records.</summary>
    private async Task<FetchResult> FetchAsync(long offset)
    {
        var retries = new Retries(_options);
        while (true)
        {
            ErrorCode code;
            string? message;
            try
            {
                var result = await _broker.FetchAsync(new FetchRequest(Partition, offset, _fetchSize(), _options.MaxWait),
                    _stop.Token).ConfigureAwait(false);
                if (result.Error == ErrorCode.None)
                {
                    Volatile.Write(ref _highWatermark, result.HighWatermark);
                    retries.Reset();
                    if (!result.Records.IsEmpty)
                        return result;
                    result.Dispose();
                    _stop.Token.ThrowIfCancellationRequested();
                    continue;
                }
                (code, message) = (result.Error, result.Message);
                if (code == ErrorCode.OffsetOutOfRange)
                    throw new OffsetOutOfRangeException(Partition, offset, result.LogStartOffset, result.HighWatermark);
                result.Dispose();
            }
            catch (BrokerException e)
            {
                (code, message) = (e.Code, e.Message);
            }
            await RetryOrThrowAsync(retries, code, message, offset).ConfigureAwait(false);
        }
    }

    private async Task RetryOrThrowAsync(Retries retries, ErrorCode code, string? message, long offset)
    {
        if (code.Action() != ErrorAction.Retry || retries.Next() is not { } wait)
            throw new ConsumeException(code, Partition, offset,
                $"{Partition} cannot be read{(offset < 0 ? "" : $" at offset {offset}")}: {message ?? code.ToString()}");
        LogRetry(Partition, offset, code, wait, message);
        await Task.Delay(wait, _options.TimeProvider, _stop.Token).ConfigureAwait(false);
    }

    /// <summary>The offset after the last whole batch. What is damaged is left to the reader of the records, who can say where.</summary>
    private static long OffsetAfter(ReadOnlySpan<byte> batches, long offset)
    {
        while (batches.Length >= RecordBatchHeader.Size)
        {
            var header = RecordBatchHeader.Read(batches);
            if (header.Length < RecordBatchHeader.Size - RecordBatchHeader.Overhead || header.SizeInBytes > batches.Length
                || header.NextOffset < offset)
                break;
            offset = header.NextOffset;
            batches = batches[header.SizeInBytes..];
        }
        return offset;
    }

    [LoggerMessage(3, LogLevel.Warning, "{Partition} at offset {Offset}: {Code}, trying again in {Wait}. {Reason}")]
    private partial void LogRetry(TopicPartition partition, long offset, ErrorCode code, TimeSpan wait, string? reason);

    /// <summary>How often and for how long an error was retried.</summary>
    private sealed class Retries(ReaderOptions options)
    {
        private int _attempt;
        private long _since;

        public void Reset() => _attempt = 0;

        /// <summary>How long to wait before the next attempt; null: long enough retried.</summary>
        public TimeSpan? Next()
        {
            if (_attempt == 0)
                _since = options.TimeProvider.GetTimestamp();
            _attempt++;
            if (options.RetryTimeout != Timeout.InfiniteTimeSpan && options.TimeProvider.GetElapsedTime(_since) >= options.RetryTimeout)
                return null;
            return RetryBackoff.For(_attempt, options.RetryBackoff, options.RetryBackoffMax, options.Random.NextDouble());
        }
    }
}
