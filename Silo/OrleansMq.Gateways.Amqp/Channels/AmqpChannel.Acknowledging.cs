using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Metrics;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Channels;

// basic.ack, nack, reject and recover.
internal sealed partial class AmqpChannel
{
    /// <summary>How long the end of a channel, or of a consumer, waits for publishes, returns and rejections.</summary>
    internal static readonly TimeSpan MaxReturning = TimeSpan.FromSeconds(5);

    private readonly Dictionary<ulong, Delivery> _unacknowledged = [];
    private ulong _deliveryTag;
    // No tag below it is unacknowledged.
    private ulong _lowestTag = 1;
    // Returns and rejections that the queues have not stored yet.
    private int _returning;
    private TaskCompletionSource? _returned;
    private RejectLane? _rejections;
    // A leader that is away cannot be read from for each message.
    private readonly RareLine _unread = new(session.Log, session.Time);

    private enum Outcome
    {
        None = 0,
        Acknowledged,
        Returned,
        // Returned, and counted where the queue counts failures.
        Failed,
        Rejected,
    }

    // Under the lock.
    private ulong Track(HeldMessage held, QueueEntry entry, IQueueReader reader, bool isNoAck, ChannelConsumer? consumer)
    {
        var tag = ++_deliveryTag;
        _counters.Add(consumer is not null ? isNoAck ? MessageCount.ConsumedAutoAck : MessageCount.ConsumedManualAck
            : isNoAck ? MessageCount.GotAutoAck : MessageCount.GotManualAck);
        if (held.IsRedelivered)
            _counters.Add(MessageCount.Redelivered);
        if (isNoAck)
            return tag;
        var (kept, keptBytes) = Keep(held.Message, entry, reader);
        var delivery = new Delivery(tag, held.Hold, kept, keptBytes, entry, reader, consumer, session.Time.GetTimestamp());
        _unacknowledged.Add(tag, delivery);
        if (consumer is not null)
        {
            Hold(consumer, delivery);
            consumer.Unacknowledged++;
            _sharedUnacknowledged++;
        }
        return tag;
    }

    // Only dead letters need it.
    private (AmqpMessage? Message, int Bytes) Keep(AmqpMessage message, QueueEntry entry, IQueueReader reader) =>
        entry.Settings.DeadLetterExchange is not null && !reader.KeepsMessages && session.Kept.TryTake(message.Bytes)
            ? (message, message.Bytes) : default;

    private async ValueTask AcknowledgeAsync(ulong tag, bool isMultiple, Outcome outcome)
    {
        List<Delivery> deliveries;
        lock (Gate)
            deliveries = Take(tag, isMultiple);
        if (_transaction is { } transaction)
            transaction.Add(deliveries, outcome);
        else
            await SettleAsync(deliveries, outcome).ConfigureAwait(false);
    }

    // Under the lock.
    private List<Delivery> Take(ulong tag, bool isMultiple)
    {
        var taken = new List<Delivery>();
        if (tag == 0 && isMultiple)
            tag = _deliveryTag;
        else if (!_unacknowledged.ContainsKey(tag) && !_timedOut.Contains(tag))
            throw new AmqpException(ReplyCode.PreconditionFailed, $"unknown delivery tag {tag}");
        for (var next = isMultiple ? _lowestTag : tag; next <= tag; next++)
        {
            if (_unacknowledged.Remove(next, out var delivery))
            {
                delivery.Consumer?.Held.Remove(delivery);
                taken.Add(delivery);
            }
            else if (_timedOut.Count > 0)
                _timedOut.Remove(next);
        }
        if (isMultiple || tag == _lowestTag)
            _lowestTag = tag + 1;
        return taken;
    }

    // The client's credit returns at once; the queues store what they are told.
    private ValueTask SettleAsync(List<Delivery> deliveries, Outcome outcome)
    {
        _ = outcome == Outcome.Acknowledged ? SettleAllAsync(deliveries, outcome) : ReturnAsync(deliveries, outcome);
        return default;
    }

    private async Task ReturnAsync(List<Delivery> deliveries, Outcome outcome)
    {
        lock (Gate)
            _returning++;
        // The reader logs a failure.
        await SettleAllAsync(deliveries, outcome).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        lock (Gate)
        {
            if (--_returning > 0)
                return;
            _returned?.TrySetResult();
            _returned = null;
        }
    }

    // What a channel returns to a queue is there for its next command, in its old place.
    private Task ReturnedAsync()
    {
        lock (Gate)
        {
            return _returning == 0 ? Task.CompletedTask
                : (_returned ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    private Task SettleAllAsync(List<Delivery> deliveries, Outcome outcome)
    {
        var settled = new List<Task>(deliveries.Count);
        foreach (var delivery in deliveries)
        {
            settled.Add(outcome switch
            {
                Outcome.Acknowledged => SettleAsync(delivery, Settlement.Accept),
                Outcome.Rejected => EndAsync(delivery, DeathReason.Rejected, Settlement.Return),
                Outcome.Failed => FailAsync(delivery),
                _ => SettleAsync(delivery, Settlement.Return, RetryDelay.Of(delivery.Entry.Settings, delivery.Hold, isFailure: false)),
            });
        }
        var released = new List<ChannelConsumer>();
        lock (Gate)
        {
            if (outcome == Outcome.Acknowledged)
                _counters.Add(MessageCount.Acknowledged, deliveries.Count);
            foreach (var consumer in deliveries.Select(static delivery => delivery.Consumer).OfType<ChannelConsumer>())
            {
                consumer.Unacknowledged--;
                _sharedUnacknowledged--;
                consumer.Wake();
                if (consumer.Unacknowledged == 0 && _cancelled.Contains(consumer))
                    released.Add(consumer);
            }
            if (_sharedLimit > 0)
                WakeAll();
        }
        return released.Count == 0 ? Task.WhenAll(settled) : ReleaseAfterAsync(Task.WhenAll(settled), released);
    }

    // What a reader rejects becomes a dead letter before the reader ends, and others can receive it.
    private async Task ReleaseAfterAsync(Task settled, List<ChannelConsumer> consumers)
    {
        await settled.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        foreach (var consumer in consumers)
            await ReleaseAsync(consumer).ConfigureAwait(false);
        await settled.ConfigureAwait(false);
    }

    private Task SettleAsync(Delivery delivery, Settlement settlement, TimeSpan delay = default)
    {
        session.Kept.Give(delivery.KeptBytes);
        return delivery.Reader.SettleAsync(delivery.Hold, settlement, delay);
    }

    // It counts in a quorum queue. What has failed too often ends at once, whether or not anybody reads the queue.
    private Task FailAsync(Delivery delivery) => delivery.Entry.State.Type != QueueType.Quorum ? SettleAsync(delivery, Settlement.Return)
        : delivery.Hold.Failures + 1 > delivery.Entry.Settings.DeliveryLimit
            ? EndAsync(delivery, DeathReason.DeliveryLimit, Settlement.Fail)
            : SettleAsync(delivery, Settlement.Fail, RetryDelay.Of(delivery.Entry.Settings, delivery.Hold, isFailure: true));

    private Task EndAsync(Delivery delivery, DeathReason reason, Settlement otherwise) =>
        (_rejections ??= new RejectLane(ReadAsync, EndAsync)).AddAsync(new Rejection(delivery, reason, otherwise));

    // The dead letter is stored before the message leaves the queue; otherwise the message stays, and waits: the client would reject it
    // again at once.
    private async Task EndAsync(Rejection rejection, Rejected rejected)
    {
        var delivery = rejection.Delivery;
        try
        {
            var isOver = rejected.IsGone || delivery.Entry.Settings.DeadLetterExchange is null
                || (rejected.Message is { } message && await PublishLetterAsync(delivery, message, rejection.Reason).ConfigureAwait(false));
            await delivery.Reader.SettleAsync(delivery.Hold, isOver ? Settlement.Accept : rejection.Otherwise,
                isOver ? default : LogLetters.MinPause).ConfigureAwait(false);
        }
        finally
        {
            session.Kept.Give(delivery.KeptBytes);
        }
    }

    // The message had no room, or the exchange came by a policy after the delivery.
    private async ValueTask<Rejected> ReadAsync(Delivery delivery)
    {
        try
        {
            var message = await delivery.Reader.ReadAsync(delivery.Hold).ConfigureAwait(false);
            return new Rejected(message, IsGone: message is null);
        }
        catch (BrokerException unread)
        {
            _unread.Write(EngineLogLevel.Warning, $"Messages of queue '{delivery.Entry.State.Name}' go back to it instead of becoming dead "
                + $"letters: {unread.Message}");
            return default;
        }
    }

    private async Task<bool> PublishLetterAsync(Delivery delivery, AmqpMessage message, DeathReason reason) =>
        delivery.Entry.Queue is LogQueue log
            ? await log.Letters.PublishAsync(message, delivery.Hold, delivery.Entry.Settings, reason).ConfigureAwait(false)
            : await ((IDeadLetters)session.Registry).PublishAsync(message, delivery.Entry.State, delivery.Entry.Settings, reason)
                .ConfigureAwait(false);

    private async ValueTask RecoverAsync(bool isRequeued, bool isAnswered)
    {
        if (!isRequeued)
            throw new AmqpException(ReplyCode.NotImplemented, "requeue=false");
        List<Delivery> deliveries;
        lock (Gate)
            deliveries = _unacknowledged.Count > 0 ? Take(0, isMultiple: true) : [];
        await SettleAsync(deliveries, Outcome.Returned).ConfigureAwait(false);
        await ReturnedAsync().ConfigureAwait(false);
        Reply(isAnswered, default(BasicRecoverOk));
    }

    // The channel ends: what it holds counts as failed. Completes when that is stored, before the readers end.
    private Task ReturnAllAsync()
    {
        List<Delivery> deliveries;
        lock (Gate)
        {
            deliveries = _unacknowledged.Count > 0 ? Take(0, isMultiple: true) : [];
            deliveries.AddRange(_transaction?.TakeDeliveries() ?? []);
        }
        return Task.WhenAll(deliveries.Select(FailAsync).ToArray());
    }
}
