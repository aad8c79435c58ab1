using System.Diagnostics.CodeAnalysis;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Channels;

// basic.ack, nack, reject and recover.
internal sealed partial class AmqpChannel
{
    // What a channel keeps of messages that may become dead letters. Beyond it they are read again.
    private const long MaxKeptBytes = 1 << 20;

    // Messages that are read again and not yet dead-lettered.
    private const int ReadTogether = 64;

    private readonly Dictionary<ulong, Delivery> _unacknowledged = [];
    private long _keptBytes;
    // The dead letters that were begun before: they keep their order.
    private Task _ending = Task.CompletedTask;
    private ulong _deliveryTag;
    // No tag below it is unacknowledged.
    private ulong _lowestTag = 1;
    // Returns and rejections that the queues have not stored yet.
    private int _returning;
    private TaskCompletionSource? _returned;

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
        if (isNoAck)
            return tag;
        var isKept = entry.Settings.DeadLetterExchange is not null && _keptBytes + held.Message.Bytes <= MaxKeptBytes;
        Add(new Delivery(tag, held.Hold, isKept ? held.Message : null, entry, reader, consumer, session.Time.GetTimestamp()));
        if (consumer is not null)
        {
            consumer.Unacknowledged++;
            _sharedUnacknowledged++;
        }
        return tag;
    }

    // Under the lock.
    private void Add(Delivery delivery)
    {
        _unacknowledged.Add(delivery.Tag, delivery);
        _keptBytes += delivery.Message?.Bytes ?? 0;
    }

    // Under the lock.
    private bool Remove(ulong tag, [NotNullWhen(true)] out Delivery? delivery)
    {
        if (!_unacknowledged.Remove(tag, out delivery))
            return false;
        _keptBytes -= delivery.Message?.Bytes ?? 0;
        return true;
    }

    private async ValueTask AcknowledgeAsync(ulong tag, bool isMultiple, Outcome outcome)
    {
        List<Delivery> deliveries;
        lock (Gate)
            deliveries = Take(tag, isMultiple);
        if (_transaction is { } transaction)
            transaction.Add(deliveries.ConvertAll(static delivery => delivery with { Message = null }), outcome);
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
            if (Remove(next, out var delivery))
                taken.Add(delivery);
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
        var settled = Begin(deliveries, outcome);
        var released = new List<ChannelConsumer>();
        lock (Gate)
        {
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
        foreach (var consumer in released)
            settled.Add(ReleaseAsync(consumer));
        return Task.WhenAll(settled);
    }

    private List<Task> Begin(List<Delivery> deliveries, Outcome outcome)
    {
        var settled = new List<Task>(deliveries.Count);
        List<(Delivery Delivery, DeathReason Reason)>? ends = null;
        foreach (var delivery in deliveries)
        {
            if (EndOf(delivery, outcome) is { } reason)
                (ends ??= []).Add((delivery, reason));
            else
                settled.Add(SettleAsync(delivery, outcome));
        }
        if (ends is not null)
            settled.Add(EndAsync(ends));
        return settled;
    }

    // A failure counts in a quorum queue. What has failed too often ends at once, whether or not anybody reads the queue.
    private static DeathReason? EndOf(Delivery delivery, Outcome outcome) => outcome switch
    {
        Outcome.Rejected => DeathReason.Rejected,
        Outcome.Failed when delivery.Entry.State.Type == QueueType.Quorum
            && delivery.Hold.Failures + 1 > delivery.Entry.Settings.DeliveryLimit => DeathReason.DeliveryLimit,
        _ => null,
    };

    private static Task SettleAsync(Delivery delivery, Outcome outcome) => outcome switch
    {
        Outcome.Acknowledged => delivery.Reader.SettleAsync(delivery.Hold, Settlement.Accept),
        Outcome.Failed when delivery.Entry.State.Type != QueueType.Quorum => delivery.Reader.SettleAsync(delivery.Hold, Settlement.Return),
        Outcome.Failed => delivery.Reader.SettleAsync(delivery.Hold, Settlement.Fail, RetryDelay.Of(delivery.Entry.Settings, delivery.Hold,
            isFailure: true)),
        _ => delivery.Reader.SettleAsync(delivery.Hold, Settlement.Return, RetryDelay.Of(delivery.Entry.Settings, delivery.Hold,
            isFailure: false)),
    };

    // In their order, also after those that a call before reads.
    private async Task EndAsync(List<(Delivery Delivery, DeathReason Reason)> ends)
    {
        var turn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task before;
        lock (Gate)
            (before, _ending) = (_ending, turn.Task);
        var begun = new List<Task>(ends.Count);
        try
        {
            await before.ConfigureAwait(false);
            foreach (var (delivery, reason) in ends)
            {
                if (delivery.Message is not null || delivery.Entry.Settings.DeadLetterExchange is null)
                {
                    begun.Add(EndAsync(delivery, delivery.Message, reason));
                    continue;
                }
                begun.Add(await EndReadAsync(delivery, reason).ConfigureAwait(false));
                if (begun.Count % ReadTogether == 0)
                    await Task.WhenAll(begun).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
        finally
        {
            turn.SetResult();
        }
        await Task.WhenAll(begun).ConfigureAwait(false);
    }

    // Completes when it is read; the result, when it has ended.
    private async Task<Task> EndReadAsync(Delivery delivery, DeathReason reason)
    {
        try
        {
            var message = await delivery.Reader.ReadAsync(delivery.Hold).ConfigureAwait(false);
            return EndAsync(delivery, message, reason);
        }
        catch (BrokerException unread)
        {
            session.Log.Write(EngineLogLevel.Warning, $"A message of queue '{delivery.Entry.State.Name}' goes back to it instead "
                + $"of becoming a dead letter: {unread.Message}");
            return delivery.Reader.SettleAsync(delivery.Hold, Otherwise(reason));
        }
    }

    // The dead letter is stored before the message leaves the queue; otherwise the message stays. Null: the queue has it no more.
    private async Task EndAsync(Delivery delivery, AmqpMessage? message, DeathReason reason)
    {
        var isGone = message is null || delivery.Entry.Settings.DeadLetterExchange is null
            || await ((IDeadLetters)session.Registry).PublishAsync(message, delivery.Entry.State, delivery.Entry.Settings, reason)
                .ConfigureAwait(false);
        await delivery.Reader.SettleAsync(delivery.Hold, isGone ? Settlement.Accept : Otherwise(reason)).ConfigureAwait(false);
    }

    private static Settlement Otherwise(DeathReason reason) =>
        reason == DeathReason.DeliveryLimit ? Settlement.Fail : Settlement.Return;

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
        return Task.WhenAll(Begin(deliveries, Outcome.Failed));
    }

    private sealed record Delivery(ulong Tag, MessageHold Hold, AmqpMessage? Message, QueueEntry Entry, IQueueReader Reader,
        ChannelConsumer? Consumer, long Since);
}
