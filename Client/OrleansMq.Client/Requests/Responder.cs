using System.Buffers;
using Microsoft.Extensions.Logging;
using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>The responder. See <see cref="IResponder{TReply}"/>.</summary>
internal sealed partial class Responder<TReply> : IResponder<TReply>
{
    private const int MaxErrorLength = 1024;
    // Timers have no longer due time. A request of another client may have a later deadline, at which nobody waits for the handler.
    private static readonly TimeSpan s_longestTimer = RequesterOptions.MaxTimeout;
    // Equal troubles are logged once in a while, with their number.
    private static readonly TimeSpan s_logInterval = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new();
    private readonly long[] _outcomes = new long[Enum.GetValues<RequestOutcome>().Length];
    private readonly (long LoggedAt, long Since)?[] _troubles = new (long, long)?[Enum.GetValues<RequestOutcome>().Length];
    private readonly ISerializer<TReply> _replies;
    private readonly TimeProvider _time;
    private readonly IBroker _broker;
    private readonly ProducerOptions _options;
    private readonly Producer<Ignore, byte[]?> _producer;
    private readonly ILogger _logger;

    public Responder(IBroker broker, ProducerOptions options, ISerializer<TReply> replies, ILogger logger)
    {
        if (options.Acks == Acks.None)
            throw new ArgumentException("ProducerOptions.Acks of a responder is not None: a request is settled when its reply is "
                + "acknowledged.", nameof(options));
        (_broker, _options, _replies, _time, _logger) = (broker, options, replies, options.TimeProvider, logger);
        _producer = new Producer<Ignore, byte[]?>(broker, Serdes.Ignore, Serdes.Bytes, options, logger);
    }

    public ResponderStatistics Statistics => new(Count(RequestOutcome.Answered), Count(RequestOutcome.Failed),
        Count(RequestOutcome.Expired), Count(RequestOutcome.Late), Count(RequestOutcome.Unanswered));

    public async ValueTask<RequestOutcome> AnswerAsync(IReadOnlyList<RecordHeader> request,
        Func<CancellationToken, ValueTask<TReply>> handle, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(request);
        ArgumentNullException.ThrowIfNull(handle);
        cancellationToken.ThrowIfCancellationRequested();
        var address = ReplyAddress.Of(request);
        if (address.Topic is null)
        {
            await handle(cancellationToken).ConfigureAwait(false);
            return Done(RequestOutcome.NotAsked);
        }
        if (address.Deadline is not { } deadline)
            return Done(await AnswerAsync(address, handle, cancellationToken).ConfigureAwait(false));
        var left = deadline - _time.GetUtcNow();
        if (left <= TimeSpan.Zero)
            return Done(RequestOutcome.Expired);
        using var clock = new CancellationTokenSource(left < s_longestTimer ? left : s_longestTimer, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(clock.Token, cancellationToken);
        try
        {
            return Done(await AnswerAsync(address, handle, either.Token).ConfigureAwait(false));
        }
        catch (Exception) when (clock.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            // Whatever else went wrong, the caller has stopped waiting.
            return Done(RequestOutcome.Late);
        }
    }

    public ValueTask DisposeAsync() => _producer.DisposeAsync();

    private async ValueTask<RequestOutcome> AnswerAsync(ReplyAddress address, Func<CancellationToken, ValueTask<TReply>> handle,
        CancellationToken cancellationToken)
    {
        try
        {
            byte[]? reply;
            try
            {
                reply = Serialize(await handle(cancellationToken).ConfigureAwait(false));
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                Trouble(RequestOutcome.Failed, e);
                await SendErrorAsync(address, e, cancellationToken).ConfigureAwait(false);
                return RequestOutcome.Failed;
            }
            cancellationToken.ThrowIfCancellationRequested();
            try
            {
                await SendAsync(address, reply, [], cancellationToken).ConfigureAwait(false);
                return RequestOutcome.Answered;
            }
            catch (ProduceException e) when (e.Code == ErrorCode.MessageTooLarge)
            {
                Trouble(RequestOutcome.Failed, e);
                await SendErrorAsync(address, e, cancellationToken).ConfigureAwait(false);
                return RequestOutcome.Failed;
            }
        }
        catch (ProduceException e) when (e.Action == ErrorAction.Abort)
        {
            // Sent again, it would be refused again: the caller's reply topic is deleted, forbidden, or takes no such record.
            Trouble(RequestOutcome.Unanswered, e);
            return RequestOutcome.Unanswered;
        }
    }

    private byte[]? Serialize(TReply reply)
    {
        if (_replies.IsNull(reply))
            return null;
        var bytes = new ArrayBufferWriter<byte>();
        _replies.Serialize(reply, bytes);
        return bytes.WrittenSpan.ToArray();
    }

    private Task SendErrorAsync(ReplyAddress address, Exception failure, CancellationToken cancellationToken)
    {
        var text = failure.Message.Length <= MaxErrorLength ? failure.Message : failure.Message[..MaxErrorLength];
        return SendAsync(address, null,
        [
            RecordHeaders.Text(RequestHeaders.Error, text),
            RecordHeaders.Text(RequestHeaders.ErrorType, failure.GetType().FullName),
        ], cancellationToken);
    }

    private async Task SendAsync(ReplyAddress address, byte[]? value, RecordHeader[] headers, CancellationToken cancellationToken)
    {
        if (address.CorrelationId is { } id)
            headers = [RecordHeaders.Text(RequestHeaders.CorrelationId, "") with { Value = id }, .. headers];
        // A reply need not survive a power cut: the caller that waits for it would not wait for so long.
        var reply = new ProducerRecord<Ignore, byte[]?>(address.Topic!, default, value)
        {
            Partition = address.Partition,
            Headers = headers,
            IsPersistent = false,
        };
        var began = _time.GetTimestamp();
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await _producer.SendAsync(reply, cancellationToken).ConfigureAwait(false);
                return;
            }
            // Without a deadline it is given up as any record is.
            catch (ProduceException e) when (MayPass(e.Code)
                && (address.Deadline is not null || _time.GetElapsedTime(began) < _options.DeliveryTimeout))
            {
                if (e.Code == ErrorCode.UnknownTopicOrPartition && await IsGoneAsync(address, cancellationToken).ConfigureAwait(false))
                    throw;
            }
            await Task.Delay(RetryBackoff.For(attempt, _options.RetryBackoff, _options.RetryBackoffMax, _options.Random.NextDouble()),
                _time, cancellationToken).ConfigureAwait(false);
        }
    }

    // The request was handled, and its caller waits. A broker may not know a new topic yet, a full queue is read, a fault is mended.
    private static bool MayPass(ErrorCode refusal) =>
        refusal is ErrorCode.UnknownTopicOrPartition or ErrorCode.PolicyViolation or ErrorCode.UnknownServerError;

    // A lookup may answer from memory; a description does not.
    private async Task<bool> IsGoneAsync(ReplyAddress address, CancellationToken cancellationToken)
    {
        try
        {
            var topic = await _broker.DescribeTopicAsync(address.Topic!, cancellationToken).ConfigureAwait(false);
            return address.Partition >= topic.Partitions.Count;
        }
        catch (BrokerException e)
        {
            return e.Code is ErrorCode.UnknownTopicOrPartition or ErrorCode.TopicAuthorizationFailed;
        }
    }

    private RequestOutcome Done(RequestOutcome outcome)
    {
        Interlocked.Increment(ref _outcomes[(int)outcome]);
        return outcome;
    }

    private long Count(RequestOutcome outcome) => Interlocked.Read(ref _outcomes[(int)outcome]);

    private void Trouble(RequestOutcome outcome, Exception cause)
    {
        long more;
        lock (_gate)
        {
            ref var last = ref _troubles[(int)outcome];
            if (last is { } earlier && _time.GetElapsedTime(earlier.LoggedAt) < s_logInterval)
            {
                last = (earlier.LoggedAt, earlier.Since + 1);
                return;
            }
            more = last?.Since ?? 0;
            last = (_time.GetTimestamp(), 0);
        }
        LogTrouble(outcome, more, cause);
    }

    [LoggerMessage(57, LogLevel.Warning, "A request ended as {Outcome}; {More} others did since the last such line.")]
    private partial void LogTrouble(RequestOutcome outcome, long more, Exception cause);
}
