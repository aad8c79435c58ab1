using Microsoft.Extensions.Logging;
using OrleansMq.Client;
using Lanes = OrleansMq.Consumers.KeyLanes<OrleansMq.Client.QueueMessage<byte[]?, byte[]?>>;
using Message = OrleansMq.Client.QueueMessage<byte[]?, byte[]?>;

namespace OrleansMq.Consumers;

/// <summary>Consumes one cursor of a topic, in every partition, until it is disposed.</summary>
internal sealed partial class CursorDispatcher : IAsyncDisposable
{
    private static readonly TimeSpan Backoff = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestPoll = TimeSpan.FromSeconds(5);

    private readonly OrleansMqClient _client;
    private readonly CursorTopics _topics;
    private readonly DeliveryOptions _options;
    private readonly string _topic;
    private readonly string _queue;
    private readonly IDeliveries _deliveries;
    private readonly Func<TopicPartition, int>? _priorityOf;
    private readonly int? _partition;
    private readonly ILogger _logger;
    private readonly DispatchMetrics _metrics;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _running;
    private Task _keeping = Task.CompletedTask;
    private bool _hasFailedToKeep;

    /// <summary>Starts.</summary>
    /// <param name="client">The broker.</param>
    /// <param name="topics">Makes what the cursor needs.</param>
    /// <param name="options">How records are delivered.</param>
    /// <param name="topic">The topic.</param>
    /// <param name="queue">The cursor's name.</param>
    /// <param name="deliveries">Delivers the records.</param>
    /// <param name="priorityOf">Returns the priority over other silos in a partition; null: all have the same.</param>
    /// <param name="logger">Takes failures.</param>
    /// <param name="partition">The only partition, where the cursor exists; null: all, where it is created.</param>
    public CursorDispatcher(OrleansMqClient client, CursorTopics topics, DeliveryOptions options, string topic, string queue,
        IDeliveries deliveries, Func<TopicPartition, int>? priorityOf, ILogger logger, int? partition = null)
    {
        (_client, _topics, _options, _topic, _queue, _deliveries, _logger) = (client, topics, options, topic, queue, deliveries, logger);
        (_priorityOf, _partition, _metrics) = (priorityOf, partition, new DispatchMetrics(topic, queue, logger));
        _running = Task.Run(RunAsync);
    }

    /// <summary>Stops. Records in delivery go back, and are delivered by another silo.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_running, _keeping).ConfigureAwait(false);
        _stopping.Dispose();
    }

    /// <summary>The cursor's name.</summary>
    public string Queue => _queue;

    /// <summary>Gives the cursor its options, beside the caller's rounds: a partition that does not answer holds back no other cursor. Does
    /// nothing while that goes on. For one caller, which also disposes this object.</summary>
    /// <param name="listed">The topics that exist, with their ids.</param>
    public void KeepOptions(IReadOnlyDictionary<string, Guid> listed)
    {
        if (_keeping.IsCompleted)
            _keeping = KeepOptionsAsync(listed);
    }

    private async Task KeepOptionsAsync(IReadOnlyDictionary<string, Guid> listed)
    {
        try
        {
            await _topics.KeepOptionsAsync(_topic, _queue, listed, _stopping.Token).ConfigureAwait(false);
            _hasFailedToKeep = false;
        }
        catch (Exception) when (_stopping.IsCancellationRequested)
        {
            // The silo stops.
        }
        catch (Exception failure)
        {
            // Whatever it is, the next round may find it mended.
            if (!_hasFailedToKeep)
                LogOptions(_queue, _topic, failure);
            _hasFailedToKeep = true;
        }
    }

    private async Task RunAsync()
    {
        var stopping = _stopping.Token;
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await using var consumer = (QueueConsumer<byte[]?, byte[]?>)_client.CreateQueueConsumer<byte[]?, byte[]?>(new()
                {
                    Topic = _topic,
                    Queue = _queue,
                    Partition = _partition,
                    Create = _partition is not null ? null : await _topics.QueueOptionsAsync(_topic, stopping).ConfigureAwait(false),
                    Credit = _options.Credit,
                    KeyRun = _options.MaxBatch,
                    PriorityOf = _priorityOf,
                    SessionTimeout = _options.SessionTimeout,
                    MaxWait = _options.SessionTimeout / 2 < LongestPoll ? _options.SessionTimeout / 2 : LongestPoll,
                });
                await ConsumeAsync(consumer, stopping).ConfigureAwait(false);
            }
            catch (Exception failure) when (!stopping.IsCancellationRequested)
            {
                LogRetry(_queue, _topic, failure);
                _topics.Forget(_topic);
                await Task.Delay(Backoff, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (Exception) when (stopping.IsCancellationRequested)
            {
                // The silo stops.
            }
        }
    }

    // The consumer's credit bounds what the lanes hold.
    private async Task ConsumeAsync(QueueConsumer<byte[]?, byte[]?> consumer, CancellationToken stopping)
    {
        var lanes = new Lanes(static message => message.Size, _deliveries.MaxRun);
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        using var places = new SemaphoreSlim(_options.MaxInFlight);
        var workers = new HashSet<Task>();
        try
        {
            while (true)
            {
                var message = await consumer.ReceiveAsync(stopping).ConfigureAwait(false);
                var fresh = new List<Lanes.Lane>();
                // What arrived together is delivered together.
                for (var next = message; next is not null; next = consumer.TryReceive())
                {
                    if (Add(lanes, next) is { } lane)
                        fresh.Add(lane);
                }
                workers.RemoveWhere(static worker => worker.IsCompleted);
                foreach (var lane in fresh)
                    workers.Add(Task.Run(() => ServeAsync(lanes, lane, places, ending.Token), CancellationToken.None));
            }
        }
        finally
        {
            await ending.CancelAsync().ConfigureAwait(false);
            await Task.WhenAll(workers).ConfigureAwait(false);
        }
    }

    private Lanes.Lane? Add(Lanes lanes, Message message)
    {
        _metrics.Received(1);
        if (message.Key is not { Length: > 0 } key)
        {
            WithoutKey(message);
            return null;
        }
        var lane = lanes.Add(message.TopicPartition.Partition, new IdSpan(key),
            (message.Attachment, message.Lock.Number), message, out var isBroken, out var isUncounted);
        if (isBroken)
            GiveBack(message, isUncounted);
        return lane;
    }

    private void WithoutKey(Message message)
    {
        if (_deliveries.CauseWithoutKey is not { } cause)
        {
            Settle(message, DeliveryAction.Complete, message.CompleteAsync(CancellationToken.None));
            return;
        }
        LogDeadLettered(message.TopicPartition, message.Offset, message.Failures, cause);
        Settle(message, DeliveryAction.DeadLetter, message.DeadLetterAsync(cause, CancellationToken.None));
    }

    private void GiveBack(Message message, bool isUncounted) => Settle(message, DeliveryAction.Release,
        isUncounted ? message.ReleaseUncountedAsync(null, CancellationToken.None)
            : message.ReleaseAsync(cancellationToken: CancellationToken.None));

    // Where it is cancelled, what the lane has goes back.
    private async Task ServeAsync(Lanes lanes, Lanes.Lane lane, SemaphoreSlim places, CancellationToken stopping)
    {
        while (lanes.Take(lane) is { Count: > 0 } run)
        {
            if (await ServeAsync(lane.Key, run, places, stopping).ConfigureAwait(false) is not { } rest)
                continue;
            foreach (var message in rest.Messages.Concat(lanes.Break(lane, rest.IsUncounted)))
                GiveBack(message, rest.IsUncounted);
        }
    }

    // Returns the records that go back because of one before them, and whether their deliveries do not count; null: none failed.
    private async Task<(List<Message> Messages, bool IsUncounted)?> ServeAsync(IdSpan key, List<Message> run, SemaphoreSlim places,
        CancellationToken stopping)
    {
        var progress = new RunProgress();
        // Those of a consumer that has ended are delivered again, elsewhere.
        while (run.Count > 0 && !run[0].Attachment.HasEnded)
        {
            var began = _metrics.Begin();
            var answered = await AnswerAsync(new RecordRun(_topic, key, run, progress), places, stopping)
                .ConfigureAwait(false);
            _metrics.Answered(began);
            if (answered is not { } answer)
            {
                if (!run[0].Attachment.HasEnded)
                    return (run, false);
                break;
            }
            foreach (var served in run.Take(answer.Count))
                Settle(served, DeliveryAction.Complete, served.CompleteAsync(CancellationToken.None));
            run = run[answer.Count..];
            if (answer.Unserved.Count == 0)
                continue;
            return (run[1..], NotServed(run[0], answer.Unserved).IsUncounted);
        }
        _metrics.Ended(run.Count, DeliveryAction.Release);
        return null;
    }

    // Null: the silo stops, or the consumer has ended before the call.
    private async Task<RunAnswer?> AnswerAsync(RecordRun run, SemaphoreSlim places, CancellationToken stopping)
    {
        try
        {
            stopping.ThrowIfCancellationRequested();
            return await _deliveries.DeliverAsync(run, places, stopping).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested || run.Messages[0].Attachment.HasEnded)
        {
            return null;
        }
        catch (BrokerException unavailable)
        {
            // Who has subscribed is not known now: the records are not settled.
            return new RunAnswer(0, [new DeliveryAnswer(0, DeliveryOutcome.Undecided, Causes.Of(unavailable))]);
        }
        catch (Exception failure)
        {
            return new RunAnswer(0, [new DeliveryAnswer(0, DeliveryOutcome.Failed, Causes.Of(failure))]);
        }
    }

    private DeliveryDecision NotServed(Message message, IReadOnlyList<DeliveryAnswer> unserved)
    {
        var failures = message.Failures + _deliveries.FailuresBefore(message.Offset);
        var decision = DeliveryDecision.Of(unserved, failures, message.Deliveries,
            TimeProvider.System.GetUtcNow() - message.Time, _options);
        Settle(message, decision.Action, NotServedAsync(message, failures + 1, decision));
        return decision;
    }

    private Task NotServedAsync(Message message, int failures, in DeliveryDecision decision)
    {
        switch (decision.Action)
        {
            case DeliveryAction.Retry:
                LogFailed(message.TopicPartition, message.Offset, failures, decision.Delay, decision.Cause);
                return message.AbandonAsync(decision.Delay, CancellationToken.None);
            case DeliveryAction.Release:
                // A record that waits for long is reported each time.
                LogReleased(decision.Cause is null ? LogLevel.Debug
                    : decision.Delay < _options.MaxRetryDelay ? LogLevel.Information : LogLevel.Warning,
                    message.TopicPartition, message.Offset, decision.Delay, decision.Cause);
                return decision.IsUncounted ? message.ReleaseUncountedAsync(decision.Delay, CancellationToken.None)
                    : message.ReleaseAsync(decision.Delay, CancellationToken.None);
            default:
                LogDeadLettered(message.TopicPartition, message.Offset, failures, decision.Cause);
                return message.DeadLetterAsync(decision.Cause!, CancellationToken.None);
        }
    }

    // The next record does not wait for the answer.
    private void Settle(Message message, DeliveryAction action, Task settled)
    {
        _metrics.Ended(1, action);
        _ = SettledAsync(message, settled);
    }

    // One that cannot be settled is delivered again.
    private async Task SettledAsync(Message message, Task settled)
    {
        try
        {
            await settled.ConfigureAwait(false);
        }
        catch (Exception refused)
        {
            LogNotSettled(message.TopicPartition, message.Offset, refused);
        }
    }

    [LoggerMessage(1, LogLevel.Warning, "Cursor {Queue} of topic {Topic} is not consumed now; retrying.")]
    private partial void LogRetry(string queue, string topic, Exception reason);

    [LoggerMessage(2, LogLevel.Warning, "The record at {Partition}, offset {Offset}, failed for time {Failures}, and is delivered again in "
        + "{Delay}. {Cause}")]
    private partial void LogFailed(TopicPartition partition, long offset, int failures, TimeSpan delay, string? cause);

    [LoggerMessage(EventId = 3, Message = "The record at {Partition}, offset {Offset}, did not reach its grain, and is delivered again in "
        + "{Delay}. {Cause}")]
    private partial void LogReleased(LogLevel level, TopicPartition partition, long offset, TimeSpan delay, string? cause);

    [LoggerMessage(4, LogLevel.Error, "The record at {Partition}, offset {Offset}, failed for time {Failures}, and is dead-lettered. "
        + "{Cause}")]
    private partial void LogDeadLettered(TopicPartition partition, long offset, int failures, string? cause);

    [LoggerMessage(6, LogLevel.Warning, "Cursor {Queue} of topic {Topic} may have no dead-letter topic, or options of an earlier "
        + "deployment; retrying.")]
    private partial void LogOptions(string queue, string topic, Exception reason);

    [LoggerMessage(5, LogLevel.Warning, "The record at {Partition}, offset {Offset}, was not settled; it may be delivered again.")]
    private partial void LogNotSettled(TopicPartition partition, long offset, Exception failure);
}
