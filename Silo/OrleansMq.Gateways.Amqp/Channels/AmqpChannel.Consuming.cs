using System.Security.Cryptography;
using OrleansMq.Gateways.Amqp.Metrics;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Streams;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.VirtualHosts;
using FieldValue = OrleansMq.Gateways.Amqp.Wire.FieldValue;

namespace OrleansMq.Gateways.Amqp.Channels;

// basic.qos, consume, cancel, get, and what is delivered.
internal sealed partial class AmqpChannel
{
    private readonly Dictionary<string, ChannelConsumer> _consumers = new(StringComparer.Ordinal);
    // More than programs have: RabbitMQ.Client's tests have 1,024. What a prefetch count of the channel leaves is offered to all of them.
    internal const int MaxConsumers = 2_000;

    // A channel keeps the arguments of its consumers, which nothing else bounds.
    internal const int MaxArgumentBytes = 16 << 10;

    // How many queues basic.get reads before the readers that hold nothing are closed.
    internal const int MaxGetters = 64;

    // Those that basic.get reads by, by the queue's id.
    private readonly Dictionary<long, IQueueReader> _getters = [];
    // How many it has before those that hold nothing are closed: otherwise, and where its connection has many.
    private int _mostGetters = MaxGetters;
    private int _fewGetters = 1;
    // Of consumers that are cancelled, until what they hold is settled.
    private readonly HashSet<ChannelConsumer> _cancelled = [];
    // The consumers that the client is told of later; null: it is told at once.
    private List<ChannelConsumer>? _untold;
    private int _nextLimit;
    private int _sharedLimit;
    private int _sharedUnacknowledged;
    // Direct reply-to: the routing key of answers, and its consumer.
    private string? _replyKey;
    private string? _replyConsumer;

    /// <summary>What the limit that all consumers share leaves; null without one. Under <see cref="Gate"/>.</summary>
    public int? SharedCredit => _sharedLimit == 0 ? null : _sharedLimit - _sharedUnacknowledged;

    /// <summary>Delivers a message. Under <see cref="Gate"/>; the caller flushes.</summary>
    public void AddDelivery(ChannelConsumer consumer, HeldMessage held)
    {
        var tag = Track(held, consumer.Entry, consumer.Reader, consumer.IsNoAck, consumer);
        _output.Add(new BasicDeliver(consumer.Tag, tag, held.IsRedelivered, held.Message.Exchange, held.Message.RoutingKey),
            PropertiesOf(held, consumer.Entry), held.Message.Body);
    }

    /// <summary>Delivers an answer.</summary>
    public void DeliverReply(AmqpMessage message)
    {
        if (client.DropsReplies)
            return;
        lock (Gate)
        {
            if (_hasEnded || _replyConsumer is not { } consumer)
                return;
            _output.Add(new BasicDeliver(consumer, ++_deliveryTag, false, message.Exchange, message.RoutingKey), message.Properties,
                message.Body);
        }
        _output.Flush();
    }

    /// <summary>A consumer's queue is deleted.</summary>
    public void QueueEnded(ChannelConsumer consumer)
    {
        lock (Gate)
        {
            if (!_consumers.Remove(consumer.Tag))
                return;
            consumer.Stop();
            _cancelled.Add(consumer);
            if (_untold is not null)
                _untold.Add(consumer);
            else
                AddCancel(consumer);
        }
        _output.Flush();
        _ = consumer.EndAsync();
        _ = ReleaseAsync(consumer);
    }

    /// <summary>A consumer met a fault: the connection is closed.</summary>
    public void ConsumerFailed(ChannelConsumer consumer, Exception fault)
    {
        session.Log.Write(Diagnostics.EngineLogLevel.Error,
            $"A consumer of queue '{consumer.Entry.State.Name}' failed; its connection is closed.", fault);
        client.Fail(new AmqpException(ReplyCode.InternalError, "a consumer met a fault; see the broker's log"));
    }

    // As RabbitMQ's channels, which do one thing at a time: consumers that a command ends are cancelled behind its answer.
    private void HoldCancels()
    {
        lock (Gate)
            _untold = [];
    }

    private void SendCancels()
    {
        lock (Gate)
        {
            _untold!.ForEach(AddCancel);
            _untold = null;
        }
        _output.Flush();
    }

    // Under the lock.
    private void AddCancel(ChannelConsumer consumer)
    {
        if (client.Client.WantsConsumerCancel)
            _output.Add(new BasicCancel(consumer.Tag, true));
    }

    private ValueTask QosAsync(BasicQos qos)
    {
        if (qos.PrefetchSize != 0)
            throw new AmqpException(ReplyCode.NotImplemented, $"prefetch_size!=0 ({qos.PrefetchSize})");
        lock (Gate)
        {
            if (!qos.Global)
                _nextLimit = qos.PrefetchCount;
            else
            {
                _sharedLimit = qos.PrefetchCount;
                // A client may send many that change nothing.
                if (SharedCredit is not <= 0)
                    WakeAll();
            }
        }
        _output.Send(default(BasicQosOk));
        return default;
    }

    private async ValueTask ConsumeAsync(BasicConsume consume)
    {
        var tag = consume.ConsumerTag.Length > 0 ? consume.ConsumerTag
            : $"amq.ctag-{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(11))}";
        lock (Gate)
        {
            if (_consumers.ContainsKey(tag) || _replyConsumer == tag)
                throw new AmqpException(ReplyCode.NotAllowed, $"attempt to reuse consumer tag '{tag}'");
            // One that is cancelled and holds messages is there until they are settled.
            if (_consumers.Count + _cancelled.Count >= MaxConsumers)
                throw new AmqpException(ReplyCode.NotAllowed, $"reached maximum ({MaxConsumers}) of consumers per channel");
        }
        if (consume.Arguments.Bytes.Length > MaxArgumentBytes)
            throw new AmqpException(ReplyCode.PreconditionFailed,
                $"the arguments of consumer '{tag}' have {consume.Arguments.Bytes.Length} bytes; the most is {MaxArgumentBytes}");
        Check(Publication.ToEngine(consume.Arguments).FaultOf($"consumer '{tag}'"));
        if (consume.Queue == DirectReplies.Name)
        {
            ConsumeReplies(consume, tag);
            return;
        }
        var name = NameOf(consume.Queue);
        Check(session.Access.CheckReadQueue(name));
        var consumer = await CreateConsumerAsync(name, tag, consume).ConfigureAwait(false);
        lock (Gate)
            _consumers.Add(tag, consumer);
        try
        {
            if (TopicStream.Of(name) is null)
                await session.ConsumeAsync(consumer.Entry, consumer, consume.Exclusive).ConfigureAwait(false);
        }
        catch
        {
            bool isLeft;
            lock (Gate)
                isLeft = _consumers.Remove(tag);
            // Else its queue has ended meanwhile: it is released as those that are cancelled.
            if (isLeft)
                session.Consumers.Give(1);
            await consumer.Reader.DisposeAsync().ConfigureAwait(false);
            throw;
        }
        Reply(!consume.NoWait, new BasicConsumeOk(tag));
        consumer.Start();
    }

    // It takes a place of the connection, and of its user, which is given back when the channel counts it no more.
    private async ValueTask<ChannelConsumer> CreateConsumerAsync(string name, string tag, BasicConsume consume)
    {
        if (session.Consumers.TryTake() is { } refusal)
            throw new AmqpException(ReplyCode.NotAllowed, refusal);
        try
        {
            var entry = await OpenQueueAsync(name).ConfigureAwait(false);
            var timeout = TimeoutOf(entry, consume);
            var reader = await AttachAsync(entry, consume).ConfigureAwait(false);
            return new ChannelConsumer(this, tag, entry, reader, consume.NoAck, _nextLimit)
            {
                Timeout = timeout,
                IsExclusive = consume.Exclusive,
                Arguments = consume.Arguments,
            };
        }
        catch
        {
            session.Consumers.Give(1);
            throw;
        }
    }

    private async ValueTask<IQueueReader> AttachAsync(QueueEntry entry, BasicConsume consume)
    {
        if (entry.Queue is not StreamQueue stream)
        {
            var priority = (int)Math.Clamp(consume.Arguments.Find("x-priority"u8)?.Integer ?? 0, int.MinValue + 1, int.MaxValue);
            return await entry.Queue.AttachAsync(priority).ConfigureAwait(false);
        }
        var resource = ResourceNames.Queue(session.VirtualHost, entry.State.Name);
        if (_sharedLimit > 0)
            throw new AmqpException(ReplyCode.NotImplemented, $"{resource} does not support global qos");
        if (_nextLimit == 0)
            throw new AmqpException(ReplyCode.PreconditionFailed, $"consumer prefetch count is not set for stream {resource}");
        if (consume.NoAck)
            throw new AmqpException(ReplyCode.NotImplemented, $"automatic acknowledgement not supported by stream {resource}");
        return await stream.AttachAsync(StreamStart.Of(consume.Arguments, session.Time.GetUtcNow()), StreamFilter.Of(consume.Arguments))
            .ConfigureAwait(false);
    }

    private void ConsumeReplies(BasicConsume consume, string tag)
    {
        if (!consume.NoAck)
            throw new AmqpException(ReplyCode.PreconditionFailed, "reply consumer cannot acknowledge");
        if (_replyKey is not null)
            throw new AmqpException(ReplyCode.PreconditionFailed, "reply consumer already set");
        Reply(!consume.NoWait, new BasicConsumeOk(tag));
        lock (Gate)
            _replyConsumer = tag;
        _replyKey = session.Replies.Add(this);
    }

    private async ValueTask CancelAsync(BasicCancel cancel)
    {
        ChannelConsumer? consumer;
        lock (Gate)
        {
            if (_replyConsumer == cancel.ConsumerTag)
                EndReplies();
            if (_consumers.Remove(cancel.ConsumerTag, out consumer))
            {
                consumer.Stop();
                _cancelled.Add(consumer);
            }
        }
        if (consumer is not null)
        {
            await consumer.EndAsync().ConfigureAwait(false);
            // It may hold messages for long.
            if (consumer.Entry.Settings.SingleActiveConsumer)
                await consumer.Reader.YieldAsync().ConfigureAwait(false);
            await consumer.Entry.RemoveAsync(consumer).ConfigureAwait(false);
            await ReleaseAsync(consumer).ConfigureAwait(false);
        }
        Reply(!cancel.NoWait, new BasicCancelOk(cancel.ConsumerTag));
    }

    private async ValueTask GetAsync(BasicGet get)
    {
        var name = NameOf(get.Queue);
        Check(session.Access.CheckReadQueue(name));
        var entry = await OpenQueueAsync(name).ConfigureAwait(false);
        CheckIsNoStream(entry, "basic.get");
        if (entry.State.Type == QueueType.Quorum && entry.Settings.SingleActiveConsumer)
            throw new AmqpException(ReplyCode.ResourceLocked, "cannot obtain access to locked "
                + $"{ResourceNames.Queue(session.VirtualHost, name)}. basic.get operations are not supported by quorum queues with single "
                + "active consumer");
        entry.Used();
        var reader = await GetterOfAsync(entry).ConfigureAwait(false);
        IReadOnlyList<HeldMessage> received;
        try
        {
            received = await reader.ReceiveAsync(1, TimeSpan.Zero, CancellationToken.None).ConfigureAwait(false);
        }
        catch (QueueGoneException)
        {
            await EndGetterAsync(entry.State.Id).ConfigureAwait(false);
            throw;
        }
        if (received.Count == 0)
        {
            _counters.Add(MessageCount.GotNone);
            _output.Send(default(BasicGetEmpty));
            return;
        }
        var held = received[0];
        var left = Count(await CountLeftAsync(entry).ConfigureAwait(false));
        // A client that went meanwhile would not get it, and the message count as delivered.
        if (!client.CanDeliver)
        {
            await reader.SettleAsync(held.Hold, Settlement.Return).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            return;
        }
        lock (Gate)
        {
            var tag = Track(held, entry, reader, get.NoAck, null);
            _output.Add(new BasicGetOk(tag, held.IsRedelivered, held.Message.Exchange, held.Message.RoutingKey, left),
                PropertiesOf(held, entry), held.Message.Body);
        }
        _output.Flush();
        // The reader logs a failure.
        if (get.NoAck)
            await reader.SettleAsync(held.Hold, Settlement.Accept).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    // The message is there in any case.
    private static async ValueTask<long> CountLeftAsync(QueueEntry entry)
    {
        try
        {
            return await entry.Queue.CountAsync().ConfigureAwait(false);
        }
        catch (Exception unknown) when (unknown is BrokerException or QueueGoneException)
        {
            return 0;
        }
    }

    private async ValueTask<IQueueReader> GetterOfAsync(QueueEntry entry)
    {
        if (_getters.TryGetValue(entry.State.Id, out var reader))
            return reader;
        if (_getters.Count >= (session.HasManyGetters ? _fewGetters : _mostGetters))
            await EndIdleGettersAsync().ConfigureAwait(false);
        // A reader of a single active consumer's queue keeps no consumer waiting.
        reader = await entry.Queue.AttachAsync(entry.Settings.SingleActiveConsumer ? IAmqpQueue.Beside : 0).ConfigureAwait(false);
        _getters.Add(entry.State.Id, reader);
        session.CountGetters(1);
        return reader;
    }

    // Also those of queues that are deleted. Where many hold messages this is not done for each further one.
    private async Task EndIdleGettersAsync()
    {
        HashSet<IQueueReader> holding;
        lock (Gate)
            holding = [.. _unacknowledged.Values.Select(static delivery => delivery.Reader), .. _transaction?.Readers ?? []];
        var idle = _getters.Where(getter => !holding.Contains(getter.Value)).ToArray();
        foreach (var (queue, _) in idle)
            _getters.Remove(queue);
        session.CountGetters(-idle.Length);
        (_mostGetters, _fewGetters) = (Math.Max(MaxGetters, 2 * _getters.Count), Math.Max(1, 2 * _getters.Count));
        await Task.WhenAll(idle.Select(static getter => getter.Value.DisposeAsync().AsTask()).ToArray()).ConfigureAwait(false);
    }

    private async ValueTask EndGetterAsync(long queue)
    {
        if (!_getters.Remove(queue, out var reader))
            return;
        session.CountGetters(-1);
        await reader.DisposeAsync().ConfigureAwait(false);
    }

    private static ContentProperties PropertiesOf(HeldMessage held, QueueEntry entry) => held.Hold.Failures > 0
        && entry.State.Type == QueueType.Quorum
        ? held.Message.Properties.WithHeader("x-delivery-count", FieldValue.Of((long)held.Hold.Failures)) : held.Message.Properties;

    private void WakeAll()
    {
        foreach (var consumer in _consumers.Values)
            consumer.Wake();
    }

    // Under the lock.
    private void EndReplies()
    {
        if (_replyKey is { } key)
            session.Replies.Remove(key);
        (_replyKey, _replyConsumer) = (null, null);
    }

    // Detaches a cancelled consumer once it holds nothing.
    private async Task ReleaseAsync(ChannelConsumer consumer)
    {
        lock (Gate)
        {
            if (consumer.Unacknowledged > 0 || !_cancelled.Remove(consumer))
                return;
        }
        session.Consumers.Give(1);
        await consumer.EndAsync().ConfigureAwait(false);
        await consumer.Reader.DisposeAsync().ConfigureAwait(false);
    }

    private async ValueTask EndConsumersAsync()
    {
        ChannelConsumer[] consumers;
        ChannelConsumer[] cancelled;
        lock (Gate)
        {
            EndReplies();
            consumers = [.. _consumers.Values];
            _consumers.Clear();
            foreach (var consumer in consumers)
                consumer.Stop();
            cancelled = [.. _cancelled];
            _cancelled.Clear();
        }
        try
        {
            await EndAllAsync(consumers, cancelled).ConfigureAwait(false);
        }
        finally
        {
            session.Consumers.Give(consumers.Length + cancelled.Length);
            session.CountGetters(-_getters.Count);
            _getters.Clear();
        }
    }

    private async Task EndAllAsync(ChannelConsumer[] consumers, ChannelConsumer[] cancelled)
    {
        await Task.WhenAll(consumers.Concat(cancelled).Select(static consumer => consumer.EndAsync()).ToArray()).ConfigureAwait(false);
        // The readers log failures. What was rejected becomes a dead letter before others can receive it, and what was published is in the
        // queues before the close is answered. Where that takes long the readers return what they hold.
        await Task.WhenAll(ReturnAllAsync(), ReturnedAsync(), PublishedAsync()).WaitAsync(MaxReturning, session.Time)
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        foreach (var left in _rejections?.Stop() ?? [])
            session.Kept.Give(left.Delivery.KeptBytes);
        if (_timeouts is not null)
            await _timeouts.DisposeAsync().ConfigureAwait(false);
        await Task.WhenAll(consumers.Concat(cancelled).Select(static consumer => consumer.Reader).Concat(_getters.Values)
            .Select(static reader => reader.DisposeAsync().AsTask()).ToArray()).ConfigureAwait(false);
        // Last: an automatic deletion does not find messages that are held.
        foreach (var consumer in consumers)
            await consumer.Entry.RemoveAsync(consumer).ConfigureAwait(false);
    }
}
