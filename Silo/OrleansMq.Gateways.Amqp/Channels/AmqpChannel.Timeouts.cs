using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Channels;

// Consumers that hold a delivery for too long. They are cancelled, and what they hold returns without counting as failed. A client that
// does not know cancellations by the server loses its channel instead. Only the oldest delivery of each consumer is looked at.
internal sealed partial class AmqpChannel
{
    private static readonly TimeSpan DefaultTimeout = TimeSpan.FromMinutes(30);
    // Between two looks, whatever timeout a client asks for.
    private static readonly TimeSpan MinPause = TimeSpan.FromSeconds(1);

    private readonly TimedOutTags _timedOut = new();
    // Of the first delivery that a consumer holds.
    private DueTimer? _timeouts;

    private static TimeSpan TimeoutOf(QueueEntry entry, BasicConsume consume)
    {
        if (entry.State.Type == QueueType.Stream)
            return TimeSpan.Zero;
        var limit = entry.Settings.ConsumerTimeout ?? DefaultTimeout;
        return consume.Arguments.Find("x-consumer-timeout"u8) switch
        {
            null => limit,
            { Integer: >= 0 and <= QueueArguments.MaxExpiry and var milliseconds } => TimeSpan.FromMilliseconds(milliseconds),
            _ => throw new AmqpException(ReplyCode.PreconditionFailed,
                $"invalid arg 'x-consumer-timeout': it must be an integer of 0 to {QueueArguments.MaxExpiry}, in milliseconds"),
        };
    }

    // Under the lock.
    private void Hold(ChannelConsumer consumer, Delivery delivery)
    {
        if (!consumer.Held.Add(delivery) || consumer.Timeout <= TimeSpan.Zero)
            return;
        _timeouts ??= new DueTimer(session.Time, EndLate);
        _timeouts.Arm(delivery.Since, consumer.Timeout > MinPause ? consumer.Timeout : MinPause);
    }

    private void EndLate()
    {
        List<ChannelConsumer> late = [];
        List<Delivery> returned = [];
        lock (Gate)
        {
            if (_hasEnded)
                return;
            foreach (var consumer in _consumers.Values.Concat(_cancelled))
            {
                if (consumer.Timeout <= TimeSpan.Zero || consumer.Held.Oldest is not { } oldest)
                    continue;
                var left = consumer.Timeout - session.Time.GetElapsedTime(oldest.Since);
                if (left <= TimeSpan.Zero)
                    late.Add(consumer);
                else
                    _timeouts!.Arm(session.Time.GetTimestamp(), left > MinPause ? left : MinPause);
            }
            if (late.Count == 0)
                return;
            if (client.Client.WantsConsumerCancel)
                returned = Cancel(late);
        }
        if (!client.Client.WantsConsumerCancel)
        {
            client.Fail(new AmqpException(ReplyCode.PreconditionFailed, $"delivery acknowledgement on channel {client.Number} timed out. "
                + $"Timeout value used: {late[0].Timeout.TotalMilliseconds:0} ms. This timeout value can be configured, see consumers doc "
                + "guide to learn more"));
            return;
        }
        _output.Flush();
        _ = ReturnAsync(returned, Outcome.Returned);
        foreach (var consumer in late)
            _ = RemoveAsync(consumer);
    }

    // Under the lock.
    private List<Delivery> Cancel(List<ChannelConsumer> late)
    {
        foreach (var consumer in late.Where(consumer => _consumers.Remove(consumer.Tag)))
        {
            consumer.Stop();
            _cancelled.Add(consumer);
            _output.Add(new BasicCancel(consumer.Tag, true));
            session.Log.Write(Diagnostics.EngineLogLevel.Warning, $"A consumer of queue '{consumer.Entry.State.Name}' was cancelled: it "
                + $"held a message for {consumer.Timeout.TotalMilliseconds:0} ms.");
        }
        var returned = new List<Delivery>();
        foreach (var consumer in late)
        {
            while (consumer.Held.Oldest is { } delivery)
            {
                consumer.Held.Remove(delivery);
                _unacknowledged.Remove(delivery.Tag);
                returned.Add(delivery);
            }
        }
        returned.Sort(static (one, other) => one.Tag.CompareTo(other.Tag));
        foreach (var delivery in returned)
            _timedOut.Add(delivery.Tag);
        return returned;
    }

    private async Task RemoveAsync(ChannelConsumer consumer)
    {
        await consumer.EndAsync().ConfigureAwait(false);
        await consumer.Entry.RemoveAsync(consumer).ConfigureAwait(false);
        await ReleaseAsync(consumer).ConfigureAwait(false);
    }
}
