using OrleansMq.Api;
using OrleansMq.Diagnostics;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// A reader of a <see cref="LogQueue"/>: a consumer of its cursor. Settlements collect while one call is on its way, and follow together in
/// the next. The session is kept alive while the reader has no credit to receive with.
/// </summary>
/// <param name="queue">The queue.</param>
/// <param name="priority">Readers with a higher one receive first.</param>
internal sealed class LogReader(LogQueue queue, int priority) : IQueueReader
{
    // The most that one call settles.
    private const int MaxSettlements = 1000;
    private const int MaxAttempts = 100;
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan SessionTimeout = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan KeepAlive = TimeSpan.FromMinutes(1);

    private readonly Lock _lock = new();
    private List<(Guid Consumer, QueueSettlement Settlement)> _waiting = [];
    private TaskCompletionSource _round = NewRound();
    private Task _settling = Task.CompletedTask;
    private bool _isSettling;
    private ITimer? _keepAlive;
    private Guid _consumer;

    /// <summary>Attaches it.</summary>
    /// <exception cref="QueueGoneException">The queue is deleted.</exception>
    public async Task AttachAsync()
    {
        try
        {
            _consumer = await queue.Broker.Queues.AttachAsync(queue.Partition, queue.Cursor, new QueueAttachOptions
            {
                Priority = priority,
                LockDuration = queue.Settings.ConsumerTimeout is { } timeout
                    ? TimeSpan.FromTicks(Math.Clamp(timeout.Ticks, TimeSpan.TicksPerSecond, TimeSpan.TicksPerDay)) : TimeSpan.Zero,
                SessionTimeout = SessionTimeout,
            }).ConfigureAwait(false);
        }
        catch (BrokerException gone) when (LogQueue.IsGone(gone.Code))
        {
            throw new QueueGoneException(gone);
        }
        _keepAlive ??= queue.Time.CreateTimer(_ => BeginSettling(isKeepAlive: true), null, KeepAlive, KeepAlive);
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<HeldMessage>> ReceiveAsync(int max, TimeSpan maxWait, CancellationToken cancellationToken)
    {
        try
        {
            var delivery = await queue.Broker.Queues.ReceiveAsync(queue.Partition, _consumer, max, maxWait, cancellationToken)
                .ConfigureAwait(false);
            return delivery is null ? [] : await KeepAsync(delivery).ConfigureAwait(false);
        }
        catch (BrokerException gone) when (LogQueue.IsGone(gone.Code))
        {
            throw new QueueGoneException(gone);
        }
        catch (BrokerException ended) when (ended.Code == ErrorCode.UnknownMemberId)
        {
            // The partition's leader changed, or the session ended: what it held is delivered again.
            await AttachAsync().ConfigureAwait(false);
            return [];
        }
        catch (BrokerException fault) when (fault.Action == ErrorAction.Retry)
        {
            await Task.Delay(RetryPause, queue.Time, cancellationToken).ConfigureAwait(false);
            return [];
        }
    }

    /// <inheritdoc/>
    public Task SettleAsync(HeldMessage message, Settlement settlement)
    {
        var held = (LogMessage)message;
        var action = settlement switch
        {
            Settlement.Accept => QueueAction.Accept,
            Settlement.Fail => QueueAction.Fail,
            _ => QueueAction.Release,
        };
        Task settled;
        lock (_lock)
        {
            if (_waiting.Count > 0 && _waiting[^1] is var (consumer, last) && consumer == held.Consumer && last.Lock == held.Lock
                && last.Action == action && last.Last + 1 == held.Position)
                _waiting[^1] = (consumer, last with { Last = held.Position });
            else
                _waiting.Add((held.Consumer, new QueueSettlement(held.Lock, held.Position, held.Position, action)));
            settled = _round.Task;
        }
        BeginSettling(isKeepAlive: false);
        return settled;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_keepAlive is not null)
            await _keepAlive.DisposeAsync().ConfigureAwait(false);
        Task settling;
        lock (_lock)
            settling = _settling;
        await settling.ConfigureAwait(false);
        try
        {
            await queue.Broker.Queues.DetachAsync(queue.Partition, _consumer).ConfigureAwait(false);
        }
        catch (BrokerException fault)
        {
            // What it holds returns as its session ends.
            queue.Log.Write(EngineLogLevel.Debug, $"A consumer of queue '{queue.State.Name}' was not detached: {fault.Message}");
        }
    }

    private static TaskCompletionSource NewRound() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    // Of dead letters the queue keeps none; the others go to the channel.
    private async Task<IReadOnlyList<HeldMessage>> KeepAsync(QueueDelivery delivery)
    {
        var messages = new List<HeldMessage>(delivery.Records.Count);
        foreach (var record in delivery.Records)
        {
            var message = new LogMessage(MessageRecords.Decode(record, queue.State.Name), record.Offset, record.IsRedelivered,
                record.Failures, delivery.Lock, _consumer);
            if (DeathOf(message, record.Timestamp) is not { } reason)
                messages.Add(message);
            else
                await EndAsync(message, reason).ConfigureAwait(false);
        }
        return messages;
    }

    private DeathReason? DeathOf(LogMessage message, long appended) =>
        queue.Settings.DeliveryLimit is { } limit && message.Failures > limit ? DeathReason.DeliveryLimit
            : queue.Settings.DeadLetterExchange is not null
                && message.Message.ExpiresAt(queue.Settings.MessageTtl, appended) <= queue.Time.GetUtcNow().ToUnixTimeMilliseconds()
                ? DeathReason.Expired : null;

    private async Task EndAsync(LogMessage message, DeathReason reason)
    {
        var isPublished = await queue.DeadLetters.PublishAsync(message.Message, queue.State, queue.Settings, reason).ConfigureAwait(false);
        // It stays where its dead letter could not be stored: the next delivery tries again.
        _ = SettleAsync(message, isPublished ? Settlement.Accept : Settlement.Return);
    }

    private void BeginSettling(bool isKeepAlive)
    {
        lock (_lock)
        {
            if (_isSettling || (_waiting.Count == 0 && !isKeepAlive))
                return;
            _isSettling = true;
            _settling = Task.Run(SettleWaitingAsync);
        }
    }

    private async Task SettleWaitingAsync()
    {
        do
        {
            List<(Guid Consumer, QueueSettlement Settlement)> taken;
            TaskCompletionSource round;
            lock (_lock)
            {
                (taken, _waiting) = (_waiting, []);
                (round, _round) = (_round, NewRound());
            }
            try
            {
                foreach (var group in taken.GroupBy(static item => item.Consumer))
                {
                    foreach (var part in group.Select(static item => item.Settlement).Chunk(MaxSettlements))
                        await SettleAsync(group.Key, part).ConfigureAwait(false);
                }
                if (taken.Count == 0)
                    await SettleAsync(_consumer, []).ConfigureAwait(false);
                else
                    queue.HeadMayChange();
                round.SetResult();
            }
            catch (Exception fault)
            {
                queue.Log.Write(EngineLogLevel.Warning, $"{taken.Count} settlements of queue '{queue.State.Name}' were not stored; their "
                    + $"messages may be delivered again: {fault.Message}");
                round.SetException(fault);
                _ = round.Task.Exception; // Observed: few callers wait.
            }
        }
        while (HasMore());
    }

    private bool HasMore()
    {
        lock (_lock)
            return _isSettling = _waiting.Count > 0;
    }

    private async Task SettleAsync(Guid consumer, QueueSettlement[] settlements)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await queue.Broker.Queues.SettleAsync(queue.Partition, consumer, settlements).ConfigureAwait(false);
                return;
            }
            catch (BrokerException gone) when (LogQueue.IsGone(gone.Code) || gone.Code == ErrorCode.UnknownMemberId)
            {
                // The locks have ended: the messages are gone with the queue, or delivered again.
                return;
            }
            catch (BrokerException fault) when (fault.Action == ErrorAction.Retry && attempt < MaxAttempts)
            {
                // A settlement that was stored already does nothing.
                await Task.Delay(RetryPause, queue.Time).ConfigureAwait(false);
            }
        }
    }

    private sealed record LogMessage(AmqpMessage Message, long Position, bool IsRedelivered, int Failures, QueueLock Lock, Guid Consumer)
        : HeldMessage(Message, Position, IsRedelivered, Failures);
}
