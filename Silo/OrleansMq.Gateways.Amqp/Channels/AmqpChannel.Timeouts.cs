using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Channels;

// Consumers that hold a delivery for too long. They are cancelled, and what they hold returns without counting as failed. A client that
// does not know cancellations by the server loses its channel instead.
internal sealed partial class AmqpChannel
{
    private static readonly TimeSpan DefaultTimeout = TimeSpan.FromMinutes(30);
    private static readonly TimeSpan MinPeriod = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan MaxPeriod = TimeSpan.FromMinutes(1);

    private readonly TimedOutTags _timedOut = new();
    private TimeSpan _period = TimeSpan.MaxValue;
    private ITimer? _timeouts;

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

    private void WatchTimeouts(TimeSpan timeout)
    {
        var period = TimeSpan.FromTicks(Math.Clamp(timeout.Ticks / 4, MinPeriod.Ticks, MaxPeriod.Ticks));
        lock (Gate)
        {
            if (period >= _period || _hasEnded)
                return;
            _period = period;
            if (_timeouts is null)
                _timeouts = session.Time.CreateTimer(static channel => ((AmqpChannel)channel!).EndLate(), this, period, period);
            else
                _timeouts.Change(period, period);
        }
    }

    private void EndLate()
    {
        ChannelConsumer[] late;
        List<Delivery> returned = [];
        lock (Gate)
        {
            if (_hasEnded)
                return;
            late = [.. _unacknowledged.Values.Where(IsLate).Select(static delivery => delivery.Consumer!).Distinct()];
            if (late.Length == 0)
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

    private bool IsLate(Delivery delivery) => delivery.Consumer is { } consumer && consumer.Timeout > TimeSpan.Zero
        && session.Time.GetElapsedTime(delivery.Since) >= consumer.Timeout;

    // Under the lock.
    private List<Delivery> Cancel(ChannelConsumer[] late)
    {
        foreach (var consumer in late.Where(consumer => _consumers.Remove(consumer.Tag)))
        {
            consumer.Stop();
            _cancelled.Add(consumer);
            _output.Add(new BasicCancel(consumer.Tag, true));
            session.Log.Write(Diagnostics.EngineLogLevel.Warning, $"A consumer of queue '{consumer.Entry.State.Name}' was cancelled: it "
                + $"held a message for {consumer.Timeout.TotalMilliseconds:0} ms.");
        }
        var returned = _unacknowledged.Values.Where(delivery => late.Contains(delivery.Consumer)).OrderBy(static delivery => delivery.Tag)
            .ToList();
        foreach (var delivery in returned)
        {
            _unacknowledged.Remove(delivery.Tag);
            _timedOut.Add(delivery.Tag);
        }
        return returned;
    }

    private async Task RemoveAsync(ChannelConsumer consumer)
    {
        await consumer.EndAsync().ConfigureAwait(false);
        await consumer.Entry.RemoveAsync(consumer).ConfigureAwait(false);
        await ReleaseAsync(consumer).ConfigureAwait(false);
    }
}
