using Microsoft.Extensions.Logging;
using OrleansMq.Client;

namespace OrleansMq.Streams;

/// <summary>Consumes one cursor of a topic, in every partition, until it is disposed.</summary>
internal sealed partial class CursorDispatcher : IAsyncDisposable
{
    private static readonly TimeSpan Backoff = TimeSpan.FromSeconds(1);

    private readonly OrleansMqClient _client;
    private readonly OrleansMqStreamProvider _provider;
    private readonly string _topic;
    private readonly byte[] _topicBytes;
    private readonly string _queue;
    private readonly IDeliveries _deliveries;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _running;

    public CursorDispatcher(OrleansMqClient client, OrleansMqStreamProvider provider, string topic, string queue, IDeliveries deliveries,
        ILogger logger)
    {
        (_client, _provider, _topic, _queue, _deliveries, _logger) = (client, provider, topic, queue, deliveries, logger);
        _topicBytes = System.Text.Encoding.UTF8.GetBytes(topic);
        _running = Task.Run(RunAsync);
    }

    /// <summary>Stops. Events in delivery go back, and are delivered by another silo.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(false);
        _stopping.Dispose();
    }

    private async Task RunAsync()
    {
        var stopping = _stopping.Token;
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                var options = _provider.Options;
                await using var consumer = _client.CreateQueueConsumer<byte[]?, byte[]?>(new QueueConsumerOptions
                {
                    Topic = _topic,
                    Queue = _queue,
                    Create = await _provider.Topics.QueueOptionsAsync(_topic, stopping).ConfigureAwait(false),
                    Credit = options.Credit,
                    SessionTimeout = options.SessionTimeout,
                    MaxWait = options.SessionTimeout / 2 < TimeSpan.FromSeconds(5) ? options.SessionTimeout / 2 : TimeSpan.FromSeconds(5),
                });
                await consumer.RunAsync(HandleAsync, options.MaxInFlight, stopping).ConfigureAwait(false);
            }
            catch (Exception failure) when (!stopping.IsCancellationRequested)
            {
                LogRetry(_queue, _topic, failure);
                await Task.Delay(Backoff, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (Exception) when (stopping.IsCancellationRequested)
            {
                // The silo stops.
            }
        }
    }

    private async ValueTask HandleAsync(QueueMessage<byte[]?, byte[]?> message, CancellationToken cancellationToken)
    {
        // A record without a key belongs to no stream. A handler that returns completes it.
        if (message.Key is not { Length: > 0 } key)
            return;
        var @event = new StreamEvent(StreamId.Create(_topicBytes, key), message.Lock.Queue, message.TopicPartition.Partition,
            message.Offset, message.Value);
        var decision = DeliveryDecision.Of(await AnswersAsync(@event, cancellationToken).ConfigureAwait(false), message.Failures,
            message.Deliveries, _provider.Options);
        switch (decision.Action)
        {
            case DeliveryAction.Retry:
                LogFailed(message.TopicPartition, message.Offset, message.Failures + 1, decision.Delay, decision.Cause);
                await message.AbandonAsync(decision.Delay, CancellationToken.None).ConfigureAwait(false);
                break;
            case DeliveryAction.Release:
                LogReleased(message.TopicPartition, message.Offset, decision.Delay, decision.Cause);
                await message.ReleaseAsync(decision.Delay, CancellationToken.None).ConfigureAwait(false);
                break;
            case DeliveryAction.DeadLetter:
                LogDeadLettered(message.TopicPartition, message.Offset, message.Failures + 1, decision.Cause);
                await message.DeadLetterAsync(decision.Cause!, CancellationToken.None).ConfigureAwait(false);
                break;
        }
    }

    private async Task<IReadOnlyList<DeliveryAnswer>> AnswersAsync(StreamEvent @event, CancellationToken cancellationToken)
    {
        try
        {
            return await _deliveries.DeliverAsync(@event, cancellationToken).ConfigureAwait(false);
        }
        catch (BrokerException unavailable)
        {
            // Who has subscribed is not known now: the event is not settled.
            return [new DeliveryAnswer(DeliveryOutcome.Unreachable, Causes.Of(unavailable))];
        }
    }

    [LoggerMessage(1, LogLevel.Warning, "Cursor {Queue} of topic {Topic} is not consumed now; retrying.")]
    private partial void LogRetry(string queue, string topic, Exception reason);

    [LoggerMessage(2, LogLevel.Warning, "The event at {Partition}, offset {Offset}, failed for time {Failures}, and is delivered again in "
        + "{Delay}. {Cause}")]
    private partial void LogFailed(TopicPartition partition, long offset, int failures, TimeSpan delay, string? cause);

    [LoggerMessage(3, LogLevel.Information, "The event at {Partition}, offset {Offset}, did not reach its grain, and is delivered again in "
        + "{Delay}. {Cause}")]
    private partial void LogReleased(TopicPartition partition, long offset, TimeSpan delay, string? cause);

    [LoggerMessage(4, LogLevel.Error, "The event at {Partition}, offset {Offset}, failed for time {Failures}, and is dead-lettered. "
        + "{Cause}")]
    private partial void LogDeadLettered(TopicPartition partition, long offset, int failures, string? cause);
}
