using Microsoft.Extensions.Logging;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>The requester. See <see cref="IRequester{TKey, TRequest, TReply}"/>.</summary>
internal sealed class Requester<TKey, TRequest, TReply> : IRequester<TKey, TRequest, TReply>
{
    private readonly Lock _gate = new();
    private readonly string _prefix = $"{Guid.NewGuid():n}/";
    private readonly IBroker _broker;
    private readonly RequesterOptions _options;
    private readonly ReaderOptions _reader;
    private readonly TimeProvider _time;
    private readonly IDeserializer<TReply> _replies;
    private readonly IProducer<TKey, TRequest> _producer;
    private readonly ILogger _logger;
    private ReplyReading? _reading;
    private bool _disposed;
    private long _number;
    private long _answered;
    private long _timedOut;
    private long _ignored;

    public Requester(IBroker broker, RequesterOptions options, ProducerOptions producer, ReaderOptions reader, ISerializer<TKey> keys,
        ISerializer<TRequest> requests, IDeserializer<TReply> replies, ILogger logger)
    {
        options.Validate();
        (_broker, _options, _replies, _logger) = (broker, options, replies, logger);
        _reader = reader;
        _time = producer.TimeProvider;
        _producer = new Producer<TKey, TRequest>(broker, keys, requests, producer, logger);
    }

    public RequesterStatistics Statistics
    {
        get
        {
            lock (_gate)
                return new(Interlocked.Read(ref _answered), Interlocked.Read(ref _timedOut), Interlocked.Read(ref _ignored),
                    _reading?.Waiting ?? 0);
        }
    }

    public async Task<TReply> RequestAsync(TKey key, TRequest request, TimeSpan? timeout = null,
        CancellationToken cancellationToken = default)
    {
        var limit = timeout ?? _options.Timeout;
        if (!RequesterOptions.IsTimeout(limit))
            throw new ArgumentOutOfRangeException(nameof(timeout), limit, "A timeout is above zero and at most a day.");
        cancellationToken.ThrowIfCancellationRequested();
        var deadline = _time.GetUtcNow() + limit;
        using var clock = new CancellationTokenSource(limit, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(clock.Token, cancellationToken);
        var stage = $"the end of the reply topic '{_options.ReplyTopic}' was not known in time, and the request was not sent";
        try
        {
            var reading = Reading();
            var replies = await reading.Started.WaitAsync(either.Token).ConfigureAwait(false);
            var number = Interlocked.Increment(ref _number);
            var reply = reading.Expect(number);
            if (reply.IsFaulted)
                await reply.ConfigureAwait(false);              // Reading has ended in between: nothing is sent.
            try
            {
                stage = "the request was not acknowledged, and may be handled";
                var sending = _producer.SendAsync(new ProducerRecord<TKey, TRequest>(_options.Topic, key, request)
                {
                    Headers = ReplyAddress.HeadersFor(replies, $"{_prefix}{number}", deadline),
                }, either.Token).AsTask();
                // A reply proves that the request was written, whatever becomes of its acknowledgement.
                if (await Task.WhenAny(sending, reply).ConfigureAwait(false) == sending)
                {
                    var sent = await sending.ConfigureAwait(false);
                    stage = $"the request is at {sent.TopicPartition}, offset {sent.Offset}";
                }
                else
                {
                    _ = sending.ContinueWith(static lost => lost.Exception, CancellationToken.None,
                        TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
                }
                return Read(await reply.WaitAsync(either.Token).ConfigureAwait(false));
            }
            finally
            {
                reading.Forget(number);
            }
        }
        catch (OperationCanceledException) when (clock.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            Interlocked.Increment(ref _timedOut);
            throw new TimeoutException($"No reply from '{_options.Topic}' within {limit}: {stage}.");
        }
    }

    public async ValueTask DisposeAsync()
    {
        ReplyReading? reading;
        lock (_gate)
        {
            if (_disposed)
                return;
            _disposed = true;
            reading = _reading;
        }
        if (reading is not null)
        {
            reading.End(new ObjectDisposedException(nameof(IRequester<,,>),
                $"The requester of '{_options.Topic}' was disposed while the request waited. It may be handled."));
            await reading.DisposeAsync().ConfigureAwait(false);
        }
        await _producer.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>Returns the reading of replies; begins one if there is none, or if the last one has ended.</summary>
    private ReplyReading Reading()
    {
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_disposed, typeof(IRequester<TKey, TRequest, TReply>));
            if (_reading is not { HasEnded: false })
                _reading = new ReplyReading(_broker, _options, _reader, _prefix, () => Interlocked.Increment(ref _ignored), _logger);
            return _reading;
        }
    }

    private TReply Read(ReceivedReply reply)
    {
        Interlocked.Increment(ref _answered);
        if (reply.Error is { } error)
            throw new RequestFailedException(RequestFailure.Handler, $"The responder of '{_options.Topic}' failed: {error}",
                reply.ErrorType);
        try
        {
            return _replies.Deserialize(reply.Value, isNull: reply.Value is null);
        }
        catch (Exception e)
        {
            throw new RequestFailedException(RequestFailure.Reply, $"The reply from '{_options.Topic}', at {reply.Partition}, offset "
                + $"{reply.Offset}, cannot be deserialized as {typeof(TReply)}: {e.Message}", inner: e);
        }
    }
}
