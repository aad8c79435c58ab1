using System.Threading.Channels;
using OrleansMq.Cli.CommandLine;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace OrleansMq.Cli.Amqp;

/// <summary>
/// Moves messages over one pair of connections. The source's acknowledgement follows the target's confirm, so that a lost connection leaves
/// each message at the source or at the target, and may leave it at both. One loop takes all events, in their order.
/// </summary>
internal sealed class ShovelLink : IAsyncDisposable
{
    private static readonly TimeSpan TickInterval = TimeSpan.FromMilliseconds(200);
    // Long enough for a broker that fails over.
    private static readonly TimeSpan LastConfirms = TimeSpan.FromSeconds(20);

    private readonly Channel<ShovelEvent> _events =
        Channel.CreateUnbounded<ShovelEvent>(new UnboundedChannelOptions { SingleReader = true });
    private readonly ConfirmedPrefix _pending = new();
    private readonly Queue<int> _sizes = new();
    private readonly ShovelRoute _route;
    private readonly string _user;
    private readonly IConnection _from, _to;
    private readonly IChannel _source, _target;

    private ShovelLink(ShovelRoute route, string user, (IConnection Connection, IChannel Channel) from,
        (IConnection Connection, IChannel Channel) to)
    {
        (_route, _user) = (route, user);
        (_from, _source) = from;
        (_to, _target) = to;
        _source.ChannelShutdownAsync += (_, reason) => Tell(new ShovelEvent.Lost(reason));
        _target.ChannelShutdownAsync += (_, reason) => Tell(new ShovelEvent.Lost(reason));
        _target.BasicAcksAsync += (_, ack) => Tell(new ShovelEvent.Confirmed(ack.DeliveryTag, ack.Multiple));
        _target.BasicNacksAsync += (_, _) => Tell(new ShovelEvent.Nacked());
        _target.BasicReturnAsync += (_, returned) => Tell(new ShovelEvent.Returned(returned.Exchange, returned.RoutingKey));
    }

    /// <summary>Called for each message that was moved, with its size.</summary>
    public required Action<int> Moved { get; init; }

    /// <summary>Connects to both brokers.</summary>
    public static async Task<ShovelLink> OpenAsync(ShovelRoute route, ConnectionFactory from, ConnectionFactory to, ushort prefetch,
        Action<int> moved, CancellationToken cancellationToken)
    {
        var source = await from.CreateConnectionAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            var target = await to.CreateConnectionAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                var taking = await source.CreateChannelAsync(null, cancellationToken).ConfigureAwait(false);
                await taking.BasicQosAsync(0, prefetch, global: false, cancellationToken).ConfigureAwait(false);
                // Numbers are counted here: confirms are awaited in bulk, and the order of publishes is that of deliveries.
                var giving = await target.CreateChannelAsync(new CreateChannelOptions(publisherConfirmationsEnabled: true,
                    publisherConfirmationTrackingEnabled: false), cancellationToken).ConfigureAwait(false);
                return new ShovelLink(route, to.UserName, (source, taking), (target, giving)) { Moved = moved };
            }
            catch
            {
                await target.DisposeAsync().ConfigureAwait(false);
                throw;
            }
        }
        catch
        {
            await source.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Moves messages until the queue is empty and each is confirmed, or for ever; a cancellation ends it after the confirms of
    /// what was published.</summary>
    /// <exception cref="ShovelLostException">A connection ended, or the target could not store a message.</exception>
    /// <exception cref="CommandFailedException">A message can never be moved.</exception>
    public async Task RunAsync(bool follow, CancellationToken cancellationToken)
    {
        using var timer = new Timer(_ => _events.Writer.TryWrite(new ShovelEvent.Tick()), null, TickInterval, TickInterval);
        do
        {
            var consumer = await _source.BasicConsumeAsync(_route.Queue, autoAck: false, new Taking(_source, _events.Writer),
                CancellationToken.None).ConfigureAwait(false);
            await MoveAsync(consumer, follow, cancellationToken).ConfigureAwait(false);
            // A message that came between the last look and the cancellation is moved by another consumer.
        }
        while (!cancellationToken.IsCancellationRequested && !await IsEmptyAsync().ConfigureAwait(false));
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _to.DisposeAsync().ConfigureAwait(false);
        await _from.DisposeAsync().ConfigureAwait(false);
    }

    private async Task MoveAsync(string consumer, bool follow, CancellationToken cancellationToken)
    {
        var (isEnding, isEnded) = (false, false);
        using var deadline = new CancellationTokenSource();
        while (!isEnded || _pending.Count > 0)
        {
            switch (await NextAsync(deadline.Token).ConfigureAwait(false))
            {
                // Messages after an interruption go back to the source.
                case ShovelEvent.Delivered message when !cancellationToken.IsCancellationRequested:
                    await PublishAsync(message).ConfigureAwait(false);
                    break;
                case ShovelEvent.Confirmed confirm:
                    await SettleAsync(confirm).ConfigureAwait(false);
                    break;
                case ShovelEvent.ConsumerEnded { ByBroker: true }:
                    throw CommandFailedException.Refused($"The source ended the consumer: was queue '{_route.Queue}' deleted?");
                case ShovelEvent.ConsumerEnded:
                    isEnded = true;
                    break;
                case ShovelEvent.Returned returned:
                    throw CommandFailedException.Refused(Unroutable(returned));
                case ShovelEvent.Nacked:
                    throw new ShovelLostException("the target could not store a message: its queue is full or has no leader", null);
                case ShovelEvent.Lost lost:
                    throw Explain(lost.Reason);
                case ShovelEvent.Tick when !isEnding && await IsOverAsync(follow, cancellationToken).ConfigureAwait(false):
                    isEnding = true;
                    deadline.CancelAfter(LastConfirms);
                    // The answer comes after all deliveries.
                    await _source.BasicCancelAsync(consumer, noWait: false, CancellationToken.None).ConfigureAwait(false);
                    break;
            }
        }
    }

    private async ValueTask<ShovelEvent> NextAsync(CancellationToken deadline)
    {
        try
        {
            return await _events.Reader.ReadAsync(deadline).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            throw new ShovelLostException("the target does not confirm what was published", null);
        }
    }

    private async ValueTask<bool> IsOverAsync(bool follow, CancellationToken cancellationToken) =>
        cancellationToken.IsCancellationRequested || (!follow && _pending.Count == 0 && await IsEmptyAsync().ConfigureAwait(false));

    private async Task<bool> IsEmptyAsync() =>
        (await _source.QueueDeclarePassiveAsync(_route.Queue, CancellationToken.None).ConfigureAwait(false)).MessageCount == 0;

    private async Task PublishAsync(ShovelEvent.Delivered message)
    {
        _pending.Add(message.Tag);
        _sizes.Enqueue(message.Body.Length);
        await _target.BasicPublishAsync(_route.Exchange, _route.RoutingKey ?? message.RoutingKey, mandatory: true,
            ShovelRoute.Adapt(message.Properties, _user), message.Body, CancellationToken.None).ConfigureAwait(false);
    }

    private async Task SettleAsync(ShovelEvent.Confirmed confirm)
    {
        var (count, tag) = _pending.Confirm(confirm.Number, confirm.Multiple);
        if (count == 0)
            return;
        await _source.BasicAckAsync(tag, multiple: true, CancellationToken.None).ConfigureAwait(false);
        for (; count > 0; count--)
            Moved(_sizes.Dequeue());
    }

    private static string Unroutable(ShovelEvent.Returned returned) => returned.Exchange.Length == 0
        ? $"The target has no queue '{returned.RoutingKey}'. Import the definitions first: omq amqp import-definitions --help"
        : $"Exchange '{returned.Exchange}' of the target routes the key '{returned.RoutingKey}' to no queue. Bind one, or give --to-queue.";

    /// <summary>Tells an error of the request, which comes again, from a lost connection.</summary>
    public static Exception Explain(ShutdownEventArgs reason) => reason.ReplyCode is Constants.AccessRefused or Constants.NotFound
        or Constants.ResourceLocked or Constants.PreconditionFailed or Constants.NotAllowed or Constants.NotImplemented
        ? CommandFailedException.Refused($"A broker refused: {reason.ReplyText} ({reason.ReplyCode})")
        : new ShovelLostException($"{reason.ReplyText} ({reason.ReplyCode})", reason.Exception);

    private Task Tell(ShovelEvent happened)
    {
        _events.Writer.TryWrite(happened);
        return Task.CompletedTask;
    }

    private sealed class Taking(IChannel channel, ChannelWriter<ShovelEvent> events) : AsyncDefaultBasicConsumer(channel)
    {
        public override Task HandleBasicDeliverAsync(string consumerTag, ulong deliveryTag, bool redelivered, string exchange,
            string routingKey, IReadOnlyBasicProperties properties, ReadOnlyMemory<byte> body,
            CancellationToken cancellationToken = default)
        {
            // The library uses the body's memory again; the prefetch bounds the copies.
            events.TryWrite(new ShovelEvent.Delivered(deliveryTag, routingKey, new BasicProperties(properties), body.ToArray()));
            return Task.CompletedTask;
        }

        public override Task HandleBasicCancelOkAsync(string consumerTag, CancellationToken cancellationToken = default)
        {
            events.TryWrite(new ShovelEvent.ConsumerEnded(ByBroker: false));
            return Task.CompletedTask;
        }

        public override Task HandleBasicCancelAsync(string consumerTag, CancellationToken cancellationToken = default)
        {
            events.TryWrite(new ShovelEvent.ConsumerEnded(ByBroker: true));
            return Task.CompletedTask;
        }
    }
}

/// <summary>A connection was lost, or a broker could not serve for now.</summary>
internal sealed class ShovelLostException(string message, Exception? inner) : Exception(message, inner);
