using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Client;

/// <summary>A fetched chunk, or the error that ended the session. Without a session, a mark that other state has changed.</summary>
internal readonly record struct FetchedChunk(FetchSession? Session, FetchResult? Result, ConsumeException? Error);

/// <summary>
/// Prefetches one partition from one start, until it is stopped or fails. A seek ends it and begins another session, so outdated chunks are
/// recognised by their session.
/// </summary>
internal sealed partial class FetchSession
{
    /// <summary>Chunks that a partition holds: one being read, and one ahead.</summary>
    public const int ChunksAhead = 2;

    // Too few replicas in sync leave no proof that there is no successor. A leader that is cut off learns of its own in less.
    private static readonly TimeSpan MaxProofTime = TimeSpan.FromSeconds(30);

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
    private long _exhaustedTo = -1;
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

    /// <summary>The start.</summary>
    public ReadFrom Start => _start;

    /// <summary>The application's position, the next offset to read; -1 before the start is found. Set by the reader.</summary>
    public long Position { get; set; } = -1;

    /// <summary>The end of what is read: the high watermark, or for committed records the last stable offset; -1 if unknown.</summary>
    public long HighWatermark => Volatile.Read(ref _highWatermark);

    /// <summary>The offset up to which nothing is left to fetch; -1 if that is not known. It is known when a partition that was readable up
    /// to there returned no records, and until it returns some or fails.</summary>
    public long ExhaustedTo => Volatile.Read(ref _exhaustedTo);

    /// <summary>Completes with the offset of the start.</summary>
    public Task<long> Started => _started.Task;

    /// <summary>An object that the creator of the session attached.</summary>
    public object? Owner { get; init; }

    /// <summary>The id of its topic; empty if unknown.</summary>
    public Guid TopicId { get; init; }

    /// <summary>Whether its records are on hold. It still prefetches up to its limit.</summary>
    public bool IsHeld
    {
        get => _isHeld;
        set => _isHeld = value;
    }

    /// <summary>Whether it was stopped, so that its chunks are outdated.</summary>
    public bool IsStopped => _stop.IsCancellationRequested;

    /// <summary>Completes when the fetch loop has ended.</summary>
    public Task Loop { get; private set; } = Task.CompletedTask;

    public void Run() => Loop = Task.Run(RunAsync);

    public void Stop() => _stop.Cancel();

    /// <summary>Makes room for another chunk, after one was read to its end.</summary>
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
                // Stopped in the meantime: the chunk would never be read.
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
            // An unexpected exception, which no broker error describes: report it to the application instead of waiting forever.
            Fail(new ConsumeException(ErrorCode.UnknownServerError, Partition, Position, $"{Partition} cannot be read: {e.GetType().Name}: "
                + $"{e.Message}", e));
        }
    }

    /// <summary>Ends it with an error, which the reader throws after everything fetched before.</summary>
    public void Fail(ConsumeException error)
    {
        _started.TrySetException(error);
        _ = _started.Task.Exception; // Marks the exception as observed: waiting for the start is optional.
        _chunks.TryWrite(new FetchedChunk(this, null, error));
    }

    private async Task<long> FindStartAsync()
    {
        if (_start.ExactOffset is { } exact)
            return exact;
        var found = await FindAsync(_start.Spec).ConfigureAwait(false);
        // No record has such a late timestamp: start at the end of the log.
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
                var found = await _broker.FindOffsetAsync(Partition, spec with { Isolation = _options.Isolation }, _stop.Token)
                    .ConfigureAwait(false);
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

    /// <summary>Fetches until records arrive.</summary>
    private async Task<FetchResult> FetchAsync(long offset)
    {
        var retries = new Retries(_options);
        // What could be read before this fetch began.
        var readable = -1L;
        while (true)
        {
            ErrorCode code;
            string? message;
            try
            {
                var result = await _broker.FetchAsync(new FetchRequest(Partition, offset, _fetchSize(), _options.MaxWait,
                    Isolation: _options.Isolation), _stop.Token).ConfigureAwait(false);
                if (result.Error == ErrorCode.None)
                {
                    Volatile.Write(ref _highWatermark, _options.Isolation == IsolationLevel.ReadCommitted
                        ? result.LastStableOffset : result.HighWatermark);
                    retries.Reset();
                    Volatile.Write(ref _exhaustedTo, result.Records.IsEmpty ? readable : -1);
                    if (!result.Records.IsEmpty)
                        return result;
                    readable = HighWatermark;
                    result.Dispose();
                    _stop.Token.ThrowIfCancellationRequested();
                    continue;
                }
                (code, message) = (result.Error, result.Message);
                result.Dispose();
                if (code == ErrorCode.OffsetOutOfRange)
                {
                    message = await FindSuccessorAsync(offset, result, retries).ConfigureAwait(false);
                    code = ErrorCode.NotLeaderOrFollower;
                }
            }
            catch (BrokerException e)
            {
                (code, message) = (e.Code, e.Message);
            }
            readable = -1;
            Volatile.Write(ref _exhaustedTo, -1);
            await RetryOrThrowAsync(retries, code, message, offset).ConfigureAwait(false);
        }
    }

    // A leader that was replaced, and does not know it yet, has a log that may end earlier: its successor has what is asked for. What a
    // leader of the same epoch has by now are other records.
    private async Task<string> FindSuccessorAsync(long offset, FetchResult refused, Retries retries)
    {
        var began = _options.TimeProvider.GetTimestamp();
        while (offset > refused.HighWatermark && refused.LeaderEpoch >= 0)
        {
            var end = await FindProvenEndAsync().ConfigureAwait(false);
            if (end.Error == ErrorCode.None && end.LeaderEpoch > refused.LeaderEpoch)
                return $"The leader of epoch {refused.LeaderEpoch}, whose high watermark is {refused.HighWatermark}, was replaced.";
            // A broker of an earlier version does not know the lookup.
            if (end.Error is ErrorCode.None or ErrorCode.InvalidRequest
                || _options.TimeProvider.GetElapsedTime(began) >= MaxProofTime)
                break;
            await RetryOrThrowAsync(retries, end.Error, end.Message, offset).ConfigureAwait(false);
        }
        throw new OffsetOutOfRangeException(Partition, offset, refused.LogStartOffset, refused.HighWatermark);
    }

    private async Task<OffsetResult> FindProvenEndAsync()
    {
        try
        {
            return await _broker.FindOffsetAsync(Partition, OffsetSpec.LatestProven, _stop.Token).ConfigureAwait(false);
        }
        catch (BrokerException e)
        {
            return new OffsetResult(e.Code, -1, Message: e.Message);
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

    /// <summary>Returns the offset after the last whole batch. Damaged data is left to the reader of the records, which reports its
    /// position.</summary>
    public static long OffsetAfter(ReadOnlySpan<byte> batches, long offset)
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

    [LoggerMessage(3, LogLevel.Warning, "{Partition} at offset {Offset}: {Code}; retrying in {Wait}. {Reason}")]
    private partial void LogRetry(TopicPartition partition, long offset, ErrorCode code, TimeSpan wait, string? reason);

    /// <summary>Counts the retries of an error, and for how long it has been retried.</summary>
    private sealed class Retries(ReaderOptions options)
    {
        private int _attempt;
        private long _since;

        public void Reset() => _attempt = 0;

        /// <summary>Returns how long to wait before the next attempt; null when the retry timeout has passed.</summary>
        public TimeSpan? Next()
        {
            if (_attempt == 0)
                _since = options.TimeProvider.GetTimestamp();
            _attempt++;
            if (options.RetryTimeout != Timeout.InfiniteTimeSpan && options.TimeProvider.GetElapsedTime(_since) >= options.RetryTimeout)
                return null;
            return options.BackoffAfter(_attempt);
        }
    }
}
