using System.Buffers.Text;
using System.Text;
using Microsoft.Extensions.Logging;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>A reply as it came.</summary>
/// <param name="Value">Its bytes; null for none.</param>
/// <param name="Error">Why the request failed; null if it did not.</param>
/// <param name="ErrorType">The type of the responder's exception.</param>
/// <param name="Partition">The reply's partition.</param>
/// <param name="Offset">The reply's offset.</param>
internal sealed record ReceivedReply(byte[]? Value, string? Error, string? ErrorType, TopicPartition Partition, long Offset);

/// <summary>
/// Reads one partition of the reply topic from its end on, and completes the requests that wait there. It is starting, then reading, then
/// ended with a cause; every request that waits when it ends fails with that cause, since its reply may have been missed. A requester that
/// is asked again begins another one.
/// </summary>
internal sealed partial class ReplyReading : IAsyncDisposable
{
    private static readonly byte[] s_correlationId = Encoding.UTF8.GetBytes(RequestHeaders.CorrelationId);
    private static readonly byte[] s_error = Encoding.UTF8.GetBytes(RequestHeaders.Error);
    private static readonly byte[] s_errorType = Encoding.UTF8.GetBytes(RequestHeaders.ErrorType);

    private readonly Lock _gate = new();
    private readonly Dictionary<long, TaskCompletionSource<ReceivedReply>> _waiting = [];
    private readonly TaskCompletionSource<TopicPartition> _started = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _stop = new();
    private readonly IBroker _broker;
    private readonly RequesterOptions _options;
    private readonly ReaderOptions _reader;
    private readonly byte[] _prefix;
    private readonly Action _ignored;
    private readonly ILogger _logger;
    private readonly FetchBuffer _buffer;
    private readonly Task _loop;
    private Exception? _end;

    /// <summary>Begins to read.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="options">Which topic and partition.</param>
    /// <param name="reader">How it is read.</param>
    /// <param name="prefix">What correlation ids of this requester have before their number.</param>
    /// <param name="ignored">Called for a reply of this requester for which no request waits.</param>
    /// <param name="logger">Logs why it ends.</param>
    public ReplyReading(IBroker broker, RequesterOptions options, ReaderOptions reader, string prefix, Action ignored, ILogger logger)
    {
        (_broker, _options, _reader, _ignored, _logger) = (broker, options, reader, ignored, logger);
        _prefix = Encoding.UTF8.GetBytes(prefix);
        _buffer = new FetchBuffer(broker, reader, logger);
        _loop = Task.Run(RunAsync);
    }

    /// <summary>Completes with the partition, once its end is known: replies to requests that are sent afterwards are read.</summary>
    public Task<TopicPartition> Started => _started.Task;

    /// <summary>Whether it reads no more.</summary>
    public bool HasEnded
    {
        get
        {
            lock (_gate)
                return _end is not null;
        }
    }

    /// <summary>The requests that wait.</summary>
    public int Waiting
    {
        get
        {
            lock (_gate)
                return _waiting.Count;
        }
    }

    /// <summary>Lets a request wait for its reply.</summary>
    /// <exception cref="Exception">Reading has ended; this is the cause.</exception>
    public Task<ReceivedReply> Expect(long number)
    {
        var reply = new TaskCompletionSource<ReceivedReply>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            if (_end is not null)
                return Task.FromException<ReceivedReply>(_end);
            _waiting.Add(number, reply);
        }
        return reply.Task;
    }

    /// <summary>Ends the wait of a request.</summary>
    public void Forget(long number)
    {
        lock (_gate)
            _waiting.Remove(number);
    }

    /// <summary>Ends it. Requests that wait fail with the cause.</summary>
    public void End(Exception cause)
    {
        TaskCompletionSource<ReceivedReply>[] failed;
        lock (_gate)
        {
            if (_end is not null)
                return;
            _end = cause;
            failed = [.. _waiting.Values];
            _waiting.Clear();
        }
        _stop.Cancel();
        _started.TrySetException(cause);
        _ = _started.Task.Exception;            // Observed, also where no request has waited for the start.
        foreach (var reply in failed)
        {
            reply.TrySetException(cause);
            _ = reply.Task.Exception;
        }
    }

    /// <summary>Waits until nothing is read any more. Call <see cref="End"/> before.</summary>
    public async ValueTask DisposeAsync()
    {
        await _loop.ConfigureAwait(false);
        _stop.Dispose();
    }

    private async Task RunAsync()
    {
        var watching = Task.CompletedTask;
        try
        {
            var topic = await FindTopicAsync(cause: null).ConfigureAwait(false);
            var number = _options.ReplyPartition ?? _reader.Random.Next(topic.Partitions);
            if (number >= topic.Partitions)
                throw new RequestFailedException(RequestFailure.Replies, $"The reply topic '{topic.Name}' has {topic.Partitions} "
                    + $"partitions, and RequesterOptions.ReplyPartition is {number}: choose one below.");
            watching = WatchAsync(topic);
            await ReadAsync(topic, new TopicPartition(topic.Name, number)).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Ended.
        }
        catch (Exception e)
        {
            Fail(e);
        }
        finally
        {
            await watching.ConfigureAwait(false);
            await _buffer.DisposeAsync().ConfigureAwait(false);
        }
    }

    private async Task ReadAsync(TopicListing topic, TopicPartition partition)
    {
        var from = ReadFrom.Latest;
        for (var attempt = 1; ; attempt++)
        {
            var session = _buffer.Begin(partition, from);
            try
            {
                await session.Started.WaitAsync(_stop.Token).ConfigureAwait(false);
                if (_started.TrySetResult(partition))
                    LogStarted(partition, session.Position);
                while (true)
                {
                    while (_buffer.TryMoveNext(out var chunk))
                    {
                        attempt = 0;
                        Receive(chunk);
                        chunk.Accept();
                    }
                    await _buffer.WaitAsync(_stop.Token).ConfigureAwait(false);
                }
            }
            catch (ConsumeException e) when (e.Code == ErrorCode.UnknownTopicOrPartition)
            {
                // A broker may not know a new topic yet. While it is the same one, reading goes on where it was.
                if ((await FindTopicAsync(e).ConfigureAwait(false)).TopicId != topic.TopicId)
                    throw Recreated(topic);
                from = e.Offset >= 0 ? ReadFrom.Offset(e.Offset) : from;
                await BackOffAsync(attempt).ConfigureAwait(false);
            }
        }
    }

    private void Receive(ChunkReader chunk)
    {
        var headers = chunk.Record.HeaderCount == 0 ? [] : chunk.Record.ReadHeaders();
        if (NumberOf(headers) is not { } number)
            return;                             // Another requester's.
        TaskCompletionSource<ReceivedReply>? reply;
        lock (_gate)
            _waiting.Remove(number, out reply);
        if (reply is null)
        {
            _ignored();
            return;
        }
        var (error, errorType) = ((string?)null, (string?)null);
        foreach (var header in headers)
        {
            if (header.Key.Span.SequenceEqual(s_error))
                error = header.TextValue() ?? "";
            else if (header.Key.Span.SequenceEqual(s_errorType))
                errorType = header.TextValue();
        }
        reply.TrySetResult(new ReceivedReply(chunk.Record.Value?.ToArray(), error, errorType, chunk.Session.Partition,
            chunk.Record.Offset));
    }

    private long? NumberOf(RecordHeader[] headers)
    {
        foreach (var header in headers)
        {
            if (header.Key.Span.SequenceEqual(s_correlationId) && header.Value is { } id && id.Span.StartsWith(_prefix)
                && Utf8Parser.TryParse(id.Span[_prefix.Length..], out long number, out var used) && used == id.Length - _prefix.Length)
                return number;
        }
        return null;
    }

    /// <summary>Ends the reading when the topic is deleted, or created again: another topic of that name has other offsets, and its
    /// records would be missed.</summary>
    private async Task WatchAsync(TopicListing topic)
    {
        try
        {
            while (true)
            {
                await Task.Delay(_options.TopicCheckInterval, _reader.TimeProvider, _stop.Token).ConfigureAwait(false);
                if ((await FindTopicAsync(cause: null).ConfigureAwait(false)).TopicId != topic.TopicId)
                    throw Recreated(topic);
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Ended.
        }
        catch (Exception e)
        {
            Fail(e);
        }
    }

    private async Task<TopicListing> FindTopicAsync(Exception? cause)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await _broker.GetTopicAsync(_options.ReplyTopic, _stop.Token).ConfigureAwait(false);
            }
            catch (BrokerException e) when (e.Action == ErrorAction.Retry)
            {
                if (attempt == 1)
                    LogRetry(_options.ReplyTopic, e.Message);
                await BackOffAsync(attempt).ConfigureAwait(false);
            }
            catch (BrokerException e) when (e.Code == ErrorCode.UnknownTopicOrPartition)
            {
                throw new RequestFailedException(RequestFailure.Replies, $"The reply topic '{_options.ReplyTopic}' does not exist. Create "
                    + $"it with a short retention, such as: omq topic create {_options.ReplyTopic} --config retention.ms=600000",
                    inner: cause ?? e);
            }
        }
    }

    private Task BackOffAsync(int attempt) => Task.Delay(_reader.BackoffAfter(attempt), _reader.TimeProvider, _stop.Token);

    private void Fail(Exception cause)
    {
        if (HasEnded)
            return;
        var failure = cause as RequestFailedException ?? new RequestFailedException(RequestFailure.Replies,
            $"The reply topic '{_options.ReplyTopic}' cannot be read, so a reply may have been missed: {cause.Message}", inner: cause);
        LogEnded(failure.Message);
        End(failure);
    }

    private static RequestFailedException Recreated(TopicListing topic) => new(RequestFailure.Replies,
        $"The reply topic '{topic.Name}' was deleted and created again, so a reply may have been missed. Later requests use the new one.");

    [LoggerMessage(54, LogLevel.Information, "Replies are read from {Partition} at offset {Offset} on.")]
    private partial void LogStarted(TopicPartition partition, long offset);

    [LoggerMessage(55, LogLevel.Warning, "Requests that wait for a reply fail. {Reason}")]
    private partial void LogEnded(string reason);

    [LoggerMessage(56, LogLevel.Warning, "The reply topic {Topic} cannot be looked up yet; retrying. {Reason}")]
    private partial void LogRetry(string topic, string reason);
}
