using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;
using OrleansMq.Client;
using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Topics;

namespace OrleansMq.Outboxes;

/// <summary>Writes what an outbox has decided into the stored state, whatever the grain has changed in memory since.</summary>
internal interface IOutboxStore
{
    /// <summary>Whether the store had a state when it was read or written last.</summary>
    bool HasRow { get; }

    /// <summary>Reads the stored document, and writes it with what is delivered, refused and chosen, if there is something to
    /// write.</summary>
    /// <param name="cleansUp">Whether delivered messages alone are reason enough.</param>
    /// <param name="fences">Whether it is written in any case, so that writes of others fail that are based on what was read.</param>
    Task MaintainAsync(bool cleansUp, bool fences = false);

    /// <summary>Completes when the reads and writes that have begun are over.</summary>
    Task IdleAsync();
}

/// <summary>The outbox of an activation: sends what is in force, in the background, and answers wake-ups. Runs in the activation's
/// turns.</summary>
internal sealed partial class OutboxActivation : IOutbox
{
    private static readonly TimeSpan FirstRetryDelay = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LogInterval = TimeSpan.FromMinutes(1);
    // Two characters a byte.
    private const int IdLength = 32;

    private readonly GrainId _grain;
    private readonly string _state;
    private readonly OutboxServices _services;
    private readonly IOutboxStore _store;
    private readonly HashSet<TopicPartition> _lanes = [];
    private readonly HashSet<string> _choosing = [];
    private readonly Dictionary<string, long> _logged = [];
    private readonly CancellationTokenSource _stopping = new();
    private TaskCompletionSource _changed = NewChange();
    private long _lastWrite;
    private bool _isLooking;
    private bool _hasLeft;

    public OutboxActivation(GrainId grain, string state, OutboxServices services, IOutboxStore store)
    {
        (_grain, _state, _services, _store) = (grain, state, services, store);
        Records = new WakeUpRecords(services.Options.WakeUpDelay);
        Core = new OutboxCore(services.Options.MaxPending, services.Options.MaxPendingBytes);
    }

    /// <summary>The decisions.</summary>
    public OutboxCore Core { get; }

    /// <summary>The decisions on wake-ups.</summary>
    public WakeUpRecords Records { get; }

    /// <summary>The reads and writes that are under way.</summary>
    public int Writes { get; set; }

    /// <inheritdoc/>
    public IReadOnlyList<OutboxMessage> Pending => [.. Core.Pending];

    /// <inheritdoc/>
    public IReadOnlyList<OutboxMessage> Parked => [.. Core.InForce.Parked];

    private OrleansMqOutboxOptions Options => _services.Options;

    /// <inheritdoc/>
    public void Add<TKey, TValue>(ProducerRecord<TKey, TValue> record, ISerializer<TKey>? keys = null, ISerializer<TValue>? values = null)
    {
        ThrowIfInvalid(record.Topic);
        ArgumentOutOfRangeException.ThrowIfNegative(record.Partition ?? 0);
        ThrowIfIdentified(record);
        var message = new OutboxMessage
        {
            // Random: a client that reads messages cannot send one under the id of the next, which would then count as a repetition.
            MessageId = RandomNumberGenerator.GetHexString(IdLength, lowercase: true),
            Topic = record.Topic,
            Partition = record.Partition ?? -1,
            Key = BytesOf(keys ?? _services.Client.Format<TKey>(), record.Key),
            Value = BytesOf(values ?? _services.Client.Format<TValue>(), record.Value),
            Timestamp = (record.Timestamp ?? TimeProvider.System.GetUtcNow()).ToUnixTimeMilliseconds(),
        };
        foreach (var header in record.Headers.Span)
            message.Headers.Add(new OutboxHeader { Name = header.Name(), Value = header.Value?.ToArray() });
        // As a producer does: the trace goes on at the message's handler.
        if (OrleansMqDiagnostics.Source.HasListeners() && Activity.Current is { IdFormat: ActivityIdFormat.W3C, Id: { } id }
            && !message.Headers.Exists(static header => header.Name == "traceparent"))
            message.Headers.Add(new OutboxHeader { Name = "traceparent", Value = Encoding.ASCII.GetBytes(id) });
        Core.Add(message);
    }

    /// <inheritdoc/>
    public void DiscardPending(string topic)
    {
        ArgumentException.ThrowIfNullOrEmpty(topic);
        Core.DiscardPending(topic);
    }

    // A topic that does not exist may be created. One that cannot be is refused.
    private static void ThrowIfInvalid(string? topic)
    {
        if (TopicName.Validate(topic) is { } why)
            throw new ArgumentException(why, nameof(topic));
        if (InternalTopics.IsInternal(topic))
            throw new ArgumentException($"Topic '{topic}' is internal: send to another one.", nameof(topic));
    }

    // Of two ids in a message, some readers take the first one and some the last.
    private static void ThrowIfIdentified<TKey, TValue>(ProducerRecord<TKey, TValue> record)
    {
        if (record.MessageId is not null)
        {
            throw new ArgumentException($"The record has the {nameof(record.MessageId)} '{record.MessageId}': leave it out. The outbox "
                + $"gives each message an id, in the header {OutboxHeaders.MessageId}.", nameof(record));
        }
        foreach (var header in record.Headers.Span)
        {
            if (header.Name() == OutboxHeaders.MessageId)
            {
                throw new ArgumentException($"The record has the header {OutboxHeaders.MessageId} (MessageId): leave it out. The outbox "
                    + "gives each message an id.", nameof(record));
            }
        }
    }

    /// <inheritdoc/>
    public void RetryParked() => Core.RetryParked();

    /// <inheritdoc/>
    public void DiscardParked() => Core.DiscardParked();

    /// <inheritdoc/>
    public async Task FlushAsync(CancellationToken cancellationToken = default)
    {
        var last = Core.InForce.LastSequence;
        Kick();
        using var bound = new CancellationTokenSource(cancellationToken.CanBeCanceled ? Timeout.InfiniteTimeSpan : Options.FlushTimeout);
        var token = cancellationToken.CanBeCanceled ? cancellationToken : bound.Token;
        while (!Core.IsDeliveredTo(last))
        {
            // Orleans ends an activation when its last call has returned.
            if (_hasLeft || _stopping.IsCancellationRequested)
            {
                throw new InvalidOperationException($"{Waiting()} This activation ends, and a wake-up delivers them: call the grain again, "
                    + "which reaches a new one.");
            }
            try
            {
                await _changed.Task.WaitAsync(token);
            }
            catch (OperationCanceledException) when (bound.IsCancellationRequested)
            {
                throw new TimeoutException($"{Waiting()} FlushAsync has waited {Options.FlushTimeout.TotalSeconds} s. They are delivered "
                    + "in the background: see the log for the reason, or pass a token to wait for longer.");
            }
        }
    }

    private string Waiting() => $"{Core.Pending.Count()} messages of the outbox of grain {_grain} to topics "
        + $"{string.Join(", ", Core.Pending.Select(static message => message.Topic).Distinct())} are not known to be delivered.";

    /// <summary>Completes when a wake-up is stored that comes after the write that follows.</summary>
    /// <exception cref="OrleansMqException">It is not stored: the topic of wake-ups is not available.</exception>
    public async Task EnsureWakeUpAsync()
    {
        var began = Now;
        if (!Records.NeedsRecord(began))
            return;
        var record = Guid.NewGuid();
        if (Options.BeforeWakeUp is { } hook)
            await hook(_grain);
        await _services.WakeUps.StoreAsync(_grain, _state, record);
        Records.Stored(record, began);
    }

    /// <summary>The activation begins: takes the record that one before has left.</summary>
    public void Start()
    {
        if (_services.Left.Take(_grain, _state, Core.InForce.Stamp, Now) is { } left)
            Records.TakeOver(left.Id, left.Due);
        Wrote();
        Kick();
    }

    /// <summary>The activation ends with a failed write: leaves its record.</summary>
    public void Leave()
    {
        if (Records.Leave() is { } left)
            _services.Left.Leave(_grain, _state, left, Core.InForce.Stamp, Now);
        _hasLeft = true;
        Change();
    }

    /// <summary>Answers a wake-up: whether its record is settled.</summary>
    public bool WakeUp(Guid record)
    {
        var mayCleanUp = Core is { IsDelivered: true, InForce.Pending.Count: > 0 }
            && TimeProvider.System.GetElapsedTime(_lastWrite) >= Options.CleanUpDelay;
        var answer = Records.Answer(record, Now,
            new OutboxView(Writes > 0, Core.IsInDoubt, Core.InForce.Pending.Count > 0, mayCleanUp, _store.HasRow));
        Kick();
        if (answer.Looks)
            _ = LookAsync(mayCleanUp, answer.Fences);
        return answer.IsSettled;
    }

    private static TimeSpan Now => TimeProvider.System.GetElapsedTime(0);

    /// <summary>A document is in force, or may be. Sends what can be sent.</summary>
    public void Kick()
    {
        Change();
        if (_stopping.IsCancellationRequested)
            return;
        foreach (var target in Core.Targets())
        {
            if (_lanes.Add(target))
                _ = SendAsync(target);
        }
        foreach (var topic in Core.Undecided())
        {
            if (_choosing.Add(topic))
                _ = ChooseAsync(topic);
        }
    }

    /// <summary>The grain has written.</summary>
    public void Wrote() => _lastWrite = TimeProvider.System.GetTimestamp();

    /// <summary>The activation ends: waits a moment for what is on its way.</summary>
    public async Task StopAsync(CancellationToken deadline)
    {
        Kick();
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(deadline);
        timeout.CancelAfter(Options.DeactivationTimeout);
        try
        {
            while (!Core.IsDelivered)
                await _changed.Task.WaitAsync(timeout.Token);
            if (Core.InForce.Pending.Count > 0)
                await _store.MaintainAsync(cleansUp: true).WaitAsync(deadline);
        }
        catch (OperationCanceledException) when (timeout.IsCancellationRequested)
        {
            LogLeft(_services.Logger, Core.Pending.Count(), _grain);
        }
        catch (Exception failure)
        {
            LogNotStored(_services.Logger, _grain, failure);
        }
        await _stopping.CancelAsync();
        // For calls that run beyond the deadline of the deactivation.
        Change();
        // The next activation reads the store after what this one still writes to it. Otherwise its first write could fail.
        await _store.IdleAsync().WaitAsync(deadline)
            .ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task SendAsync(TopicPartition target)
    {
        try
        {
            for (var attempt = 0; !_stopping.IsCancellationRequested && Core.Take(target) is { } run;)
            {
                var (error, reason) = await AppendAsync(run);
                var verdict = Core.Answer(run, error, reason);
                Change();
                switch (verdict)
                {
                    case OutboxVerdict.Retry:
                        LogOnceAMinute($"{target}", () => LogRetry(_services.Logger, run.Messages.Count, _grain, target, error, reason));
                        OutboxMetrics.Retries.Add(1, new KeyValuePair<string, object?>("messaging.destination.name", target.Topic));
                        await BackoffAsync(attempt++);
                        break;
                    case OutboxVerdict.Refused:
                        LogParked(_services.Logger, run.Messages[0].Sequence, _grain, target, error, reason);
                        OutboxMetrics.Parked.Add(1, new KeyValuePair<string, object?>("messaging.destination.name", target.Topic));
                        await StoreDecisionsAsync();
                        attempt = 0;
                        break;
                    default:
                        attempt = 0;
                        break;
                }
            }
        }
        finally
        {
            _lanes.Remove(target);
        }
    }

    private async Task<(ErrorCode Error, string? Reason)> AppendAsync(OutboxRun run)
    {
        try
        {
            using var builder = new RecordBatchBuilder();
            foreach (var message in run.Messages)
            {
                RecordHeader[] headers = [.. message.Headers.Select(static header => new RecordHeader(Encoding.UTF8.GetBytes(header.Name),
                    header.Value is { } value ? (ReadOnlyMemory<byte>?)value : null)),
                    RecordHeaders.Text(OutboxHeaders.MessageId, message.IdText)];
                builder.Add(message.Timestamp, message.Key, message.Key is not null, message.Value, message.Value is not null, headers);
            }
            builder.SetProducer(run.ProducerId, OutboxProducers.Epoch, OutboxProducers.SequenceOf(run.Messages[0].Sequence));
            if (Options.BeforeSend is { } hook)
                await hook(_grain, run.Target);
            var result = await _services.Client.Broker.ProduceAsync(run.Target, builder.Build(), Acks.All);
            return (result.Error, result.Message);
        }
        catch (OrleansMqException failure)
        {
            return (failure.Code, failure.Message);
        }
        catch (Exception failure)
        {
            // Whatever the call was lost in: the message is sent again under its sequence.
            return (ErrorCode.RequestTimedOut, failure.Message);
        }
    }

    private async Task ChooseAsync(string topic)
    {
        try
        {
            for (var attempt = 0; !_stopping.IsCancellationRequested && Core.Undecided().Contains(topic); attempt++)
            {
                if (await _services.FindPartitionsAsync(topic) is { } partitions)
                {
                    Core.Choose(topic, partitions);
                    break;
                }
                LogOnceAMinute(topic, () => LogNoTopic(_services.Logger, _grain, topic));
                await BackoffAsync(attempt);
            }
        }
        finally
        {
            _choosing.Remove(topic);
        }
        await StoreDecisionsAsync();
        Kick();
    }

    // A decision is stored before the next message of its partition is sent.
    private async Task StoreDecisionsAsync()
    {
        for (var attempt = 0; !_stopping.IsCancellationRequested && Core.NeedsWrite; attempt++)
        {
            try
            {
                await _store.MaintainAsync(cleansUp: false);
            }
            catch (Exception failure)
            {
                // Storage providers throw what they like. The messages wait until one succeeds.
                LogOnceAMinute("", () => LogNotStored(_services.Logger, _grain, failure));
                await BackoffAsync(attempt);
            }
        }
    }

    private async Task LookAsync(bool cleansUp, bool fences)
    {
        if (_isLooking || _stopping.IsCancellationRequested)
            return;
        _isLooking = true;
        try
        {
            await _store.MaintainAsync(cleansUp, fences);
        }
        catch (Exception failure)
        {
            LogOnceAMinute("", () => LogNotStored(_services.Logger, _grain, failure));
        }
        finally
        {
            _isLooking = false;
        }
        Kick();
    }

    private static byte[]? BytesOf<T>(ISerializer<T> serializer, T value)
    {
        if (serializer.IsNull(value))
            return null;
        var buffer = new System.Buffers.ArrayBufferWriter<byte>();
        serializer.Serialize(value, buffer);
        return buffer.WrittenSpan.ToArray();
    }

    private async Task BackoffAsync(int attempt)
    {
        var delay = FirstRetryDelay * Math.Pow(2, Math.Min(attempt, 20));
        await Task.Delay(delay < Options.MaxRetryDelay ? delay : Options.MaxRetryDelay, _stopping.Token)
            .ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Another document is in force, or a message is delivered or refused: who waits looks again.</summary>
    public void Change()
    {
        var changed = _changed;
        _changed = NewChange();
        changed.TrySetResult();
    }

    private static TaskCompletionSource NewChange() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private void LogOnceAMinute(string subject, Action log)
    {
        if (_logged.TryGetValue(subject, out var last) && TimeProvider.System.GetElapsedTime(last) < LogInterval)
            return;
        _logged[subject] = TimeProvider.System.GetTimestamp();
        log();
    }

    [LoggerMessage(1, LogLevel.Warning, "{Count} messages of the outbox of grain {Grain} are not delivered to {Target}, and are sent "
        + "again: {Error}: {Reason}")]
    private static partial void LogRetry(ILogger logger, int count, GrainId grain, TopicPartition target, ErrorCode error, string? reason);

    [LoggerMessage(2, LogLevel.Error, "Message {Sequence} of the outbox of grain {Grain} is parked, since {Target} refuses it: {Error}: "
        + "{Reason} Later messages are delivered without it. Call RetryParked or DiscardParked of the outbox.")]
    private static partial void LogParked(ILogger logger, long sequence, GrainId grain, TopicPartition target, ErrorCode error,
        string? reason);

    [LoggerMessage(3, LogLevel.Warning, "Messages of the outbox of grain {Grain} wait for topic {Topic}, which is not found: create it.")]
    private static partial void LogNoTopic(ILogger logger, GrainId grain, string topic);

    [LoggerMessage(4, LogLevel.Warning, "The outbox of grain {Grain} is not updated in its storage; it is tried again.")]
    private static partial void LogNotStored(ILogger logger, GrainId grain, Exception failure);

    [LoggerMessage(5, LogLevel.Information, "{Count} messages of the outbox of grain {Grain} are not delivered as its activation ends; a "
        + "wake-up delivers them.")]
    private static partial void LogLeft(ILogger logger, int count, GrainId grain);
}
