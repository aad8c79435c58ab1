using System.Diagnostics;
using System.Globalization;
using System.Threading.Channels;
using OrleansMq.Cli.CommandLine;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Cli.Amqp;

/// <summary>How a shovel moves messages.</summary>
/// <param name="Prefetch">The number of messages that the source delivers before they are settled.</param>
/// <param name="Follow">Whether it waits for more when the queue is empty.</param>
/// <param name="RetryTimeout">How long nothing may move while there is something to move.</param>
internal sealed record ShovelSettings(ushort Prefetch, bool Follow, TimeSpan RetryTimeout);

/// <summary>Counts what a shovel does.</summary>
internal interface IShovelReport
{
    /// <summary>A message was moved.</summary>
    /// <param name="bytes">The size of its body.</param>
    void Moved(int bytes);

    /// <summary>A connection was lost, and the next one is tried.</summary>
    /// <param name="reason">Why.</param>
    void Reconnecting(string reason);
}

/// <summary>
/// Moves messages over one connection to the source, and as many to the target as it takes. The source's acknowledgement follows the
/// target's confirm, so that a lost connection leaves each message at the source or at the target, and may leave it at both. Messages are
/// not given back because of the target: the source would count that as their failure. Those that the target refuses are published again
/// over the same channel, after pauses that grow until it confirms one; those that come meanwhile wait behind them. One loop takes all
/// events, in their order.
/// </summary>
internal sealed class ShovelLink : IAsyncDisposable
{
    private static readonly TimeSpan TickInterval = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan RetryInterval = TimeSpan.FromSeconds(1);
    // Between two tries of what the target refuses.
    private static readonly TimeSpan MinPause = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan MaxPause = TimeSpan.FromSeconds(10);
    // After an interruption.
    private static readonly TimeSpan LastConfirms = TimeSpan.FromSeconds(20);

    private readonly Channel<ShovelEvent> _events = Channel.CreateUnbounded<ShovelEvent>(
        new UnboundedChannelOptions { SingleReader = true });
    private readonly PendingMessages _pending = new();
    private readonly ShovelRoute _route;
    private readonly ShovelSettings _settings;
    private readonly IShovelReport _report;
    private readonly ConnectionFactory _to;
    private readonly IConnection _connection;
    private readonly IChannel _source;
    private readonly CancellationTokenSource _sourceLost = new();
    private ShovelTarget? _target;
    private int _targets;
    private long _progress = Stopwatch.GetTimestamp();
    private TimeSpan _pause = MinPause;
    // When what the target refuses is published again; null: it refuses nothing.
    private long? _retryFrom;

    private ShovelLink(ShovelRoute route, ShovelSettings settings, IShovelReport report, ConnectionFactory to, IConnection connection,
        IChannel source)
    {
        (_route, _settings, _report, _to, _connection, _source) = (route, settings, report, to, connection, source);
        _source.ChannelShutdownAsync += (_, reason) =>
        {
            _events.Writer.TryWrite(new ShovelEvent.SourceLost(reason));
            return _sourceLost.CancelAsync();
        };
    }

    /// <summary>Connects to both brokers.</summary>
    public static async Task<ShovelLink> OpenAsync(ShovelRoute route, ShovelSettings settings, IShovelReport report,
        ConnectionFactory from, ConnectionFactory to, CancellationToken cancellationToken)
    {
        var connection = await from.CreateConnectionAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            var source = await connection.CreateChannelAsync(null, cancellationToken).ConfigureAwait(false);
            await source.BasicQosAsync(0, settings.Prefetch, global: false, cancellationToken).ConfigureAwait(false);
            var link = new ShovelLink(route, settings, report, to, connection, source);
            await link.ConnectTargetAsync(cancellationToken).ConfigureAwait(false);
            return link;
        }
        catch
        {
            await connection.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Moves messages until the queue is empty and each is confirmed, or for ever; a cancellation ends it after the confirms of
    /// what was published.</summary>
    /// <exception cref="ShovelLostException">The source's connection ended, or the target takes nothing.</exception>
    /// <exception cref="CommandFailedException">A message can never be moved.</exception>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        using var timer = new Timer(_ => _events.Writer.TryWrite(new ShovelEvent.Tick()), null, TickInterval, TickInterval);
        try
        {
            do
            {
                var consumer = await _source.BasicConsumeAsync(_route.Queue, autoAck: false, new Taking(_source, _events.Writer),
                    CancellationToken.None).ConfigureAwait(false);
                await MoveAsync(consumer, cancellationToken).ConfigureAwait(false);
                // A message that came between the last look and the cancellation is moved by another consumer.
            }
            while (!cancellationToken.IsCancellationRequested && !await IsEmptyAsync().ConfigureAwait(false));
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // The target takes nothing more. What it has not confirmed stays at the source.
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_target is not null)
            await _target.DisposeAsync().ConfigureAwait(false);
        await _connection.DisposeAsync().ConfigureAwait(false);
    }

    private async Task MoveAsync(string consumer, CancellationToken cancellationToken)
    {
        var (isEnding, isEnded) = (false, false);
        using var deadline = new CancellationTokenSource();
        // What the target refuses is not published again after an interruption.
        while (!isEnded || (cancellationToken.IsCancellationRequested ? _pending.IsAnyOnItsWay : _pending.Count > 0))
        {
            switch (await NextAsync(deadline.Token).ConfigureAwait(false))
            {
                // Messages after an interruption go back to the source.
                case ShovelEvent.Delivered message when !cancellationToken.IsCancellationRequested:
                    _progress = Stopwatch.GetTimestamp();
                    if (_retryFrom is not null)
                    {
                        _pending.AddWaiting(message);
                        break;
                    }
                    _pending.Add(message);
                    await PublishAsync(message, cancellationToken).ConfigureAwait(false);
                    break;
                case ShovelEvent.ConsumerEnded { ByBroker: true }:
                    throw CommandFailedException.Refused($"The source ended the consumer: was queue '{_route.Queue}' deleted?");
                case ShovelEvent.ConsumerEnded:
                    isEnded = true;
                    break;
                case ShovelEvent.SourceLost lost:
                    throw Explain(lost.Reason);
                case ShovelEvent.Tick when !isEnding && await IsOverAsync(cancellationToken).ConfigureAwait(false):
                    isEnding = true;
                    deadline.CancelAfter(LastConfirms);
                    // The answer comes after all deliveries.
                    await _source.BasicCancelAsync(consumer, noWait: false, CancellationToken.None).ConfigureAwait(false);
                    break;
                case ShovelEvent.Tick when _retryFrom is { } since && Stopwatch.GetElapsedTime(since) >= _pause
                    && !cancellationToken.IsCancellationRequested:
                    await RetryAsync(cancellationToken).ConfigureAwait(false);
                    break;
                case ShovelEvent.OfTarget happened when happened.Target == _targets:
                    await HandleAsync(happened, cancellationToken).ConfigureAwait(false);
                    break;
            }
        }
        foreach (var message in _pending.Confirmed)
        {
            await SettleAsync(message, multiple: false).ConfigureAwait(false);
            _report.Moved(message.Body.Length);
        }
    }

    private Task HandleAsync(ShovelEvent.OfTarget happened, CancellationToken cancellationToken) => happened switch
    {
        ShovelEvent.Confirmed confirm => SettleAsync(confirm),
        ShovelEvent.Returned returned => throw CommandFailedException.Refused(Unroutable(returned)),
        ShovelEvent.TargetLost lost => Explain(lost.Reason) switch
        {
            ShovelLostException gone => RestoreTargetAsync(gone.Message, cancellationToken),
            var refused => throw refused,
        },
        ShovelEvent.Nacked nack => RefusedAsync(nack),
        _ => throw new InvalidOperationException($"No rule for {happened}."),
    };

    private Task RefusedAsync(ShovelEvent.Nacked nack)
    {
        _pending.Refuse(nack.Number, nack.Multiple);
        if (_retryFrom is null && _pause == MinPause)
            Console.Error.WriteLine("omq: waiting: the target could not store a message: its queue is full or has no leader");
        _retryFrom ??= Stopwatch.GetTimestamp();
        return Task.CompletedTask;
    }

    private async Task RetryAsync(CancellationToken cancellationToken)
    {
        _retryFrom = null;
        _pause = _pause * 2 < MaxPause ? _pause * 2 : MaxPause;
        foreach (var message in _pending.TakeWaiting())
            await PublishAsync(message, cancellationToken).ConfigureAwait(false);
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

    private async ValueTask<bool> IsOverAsync(CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
            return true;
        // Confirms that wait behind this look are progress: they came while all was published again to another target.
        var isLate = Stopwatch.GetElapsedTime(_progress) > _settings.RetryTimeout && !_events.Reader.TryPeek(out _);
        if (_pending.Count > 0)
            return isLate ? throw Stuck("the target has confirmed nothing") : false;
        if (_settings.Follow)
            return false;
        var isEmpty = await IsEmptyAsync().ConfigureAwait(false);
        return isLate && !isEmpty ? throw Stuck("the source has delivered nothing, though the queue has messages: is it a stream, or does "
            + "another consumer hold it?") : isEmpty;
    }

    private CommandFailedException Stuck(string what) => CommandFailedException.Refused(string.Create(CultureInfo.InvariantCulture,
        $"Queue '{_route.Queue}': for {_settings.RetryTimeout.TotalSeconds:N0} s {what}"));

    private async Task<bool> IsEmptyAsync() =>
        (await _source.QueueDeclarePassiveAsync(_route.Queue, CancellationToken.None).ConfigureAwait(false)).MessageCount == 0;

    private async Task ConnectTargetAsync(CancellationToken cancellationToken)
    {
        // Events of the one before mean nothing from now on.
        var number = ++_targets;
        if (_target is { } former)
        {
            _target = null;
            await former.DisposeAsync().ConfigureAwait(false);
        }
        _target = await ShovelTarget.OpenAsync(number, _to, _events.Writer, cancellationToken).ConfigureAwait(false);
    }

    // What is not confirmed goes to the next connection first. The queue may have it already.
    private async Task RestoreTargetAsync(string reason, CancellationToken cancellationToken)
    {
        _report.Reconnecting(reason);
        while (true)
        {
            if (Stopwatch.GetElapsedTime(_progress) + RetryInterval > _settings.RetryTimeout)
                throw new ShovelLostException(reason, null);
            await Task.Delay(RetryInterval, cancellationToken).ConfigureAwait(false);
            try
            {
                await ConnectTargetAsync(cancellationToken).ConfigureAwait(false);
                _pending.Restart();
                _retryFrom = null;
                foreach (var message in _pending.Unconfirmed.ToArray())
                    await SendAsync(message, cancellationToken).ConfigureAwait(false);
                return;
            }
            catch (Exception e) when (e is RabbitMQClientException or IOException or TimeoutException)
            {
                reason = e.Message.TrimEnd('.');
            }
        }
    }

    private async Task PublishAsync(ShovelEvent.Delivered message, CancellationToken cancellationToken)
    {
        try
        {
            await SendAsync(message, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is RabbitMQClientException or IOException)
        {
            // The target is lost: the event that tells it follows.
        }
        catch (TimeoutException)
        {
            throw Stuck("the target has taken nothing");
        }
    }

    // A target that is blocked takes nothing, and says nothing.
    private async ValueTask SendAsync(ShovelEvent.Delivered message, CancellationToken cancellationToken)
    {
        var sending = _target!.PublishAsync(_route, message);
        if (!sending.IsCompletedSuccessfully)
            await sending.AsTask().WaitAsync(_settings.RetryTimeout, cancellationToken).ConfigureAwait(false);
    }

    private async Task SettleAsync(ShovelEvent.Confirmed confirm)
    {
        _pause = MinPause;
        var settled = _pending.Confirm(confirm.Number, confirm.Multiple);
        if (settled.Count == 0)
            return;
        _progress = Stopwatch.GetTimestamp();
        await SettleAsync(settled[^1], multiple: true).ConfigureAwait(false);
        foreach (var message in settled)
            _report.Moved(message.Body.Length);
    }

    private async Task SettleAsync(ShovelEvent.Delivered message, bool multiple)
    {
        try
        {
            await _source.BasicAckAsync(message.Tag, multiple, _sourceLost.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is OperationCanceledException or ChannelClosedException)
        {
            throw new ShovelLostException("the connection to the source is lost", e);
        }
    }

    private static string Unroutable(ShovelEvent.Returned returned) => returned.Exchange.Length == 0
        ? $"The target has no queue '{returned.RoutingKey}'. Import the definitions first: omq amqp import-definitions --help"
        : $"Exchange '{returned.Exchange}' of the target routes the key '{returned.RoutingKey}' to no queue. Bind one, or give --to-queue.";

    /// <summary>Tells an error of the request, which comes again, from a lost connection.</summary>
    public static Exception Explain(ShutdownEventArgs reason) => reason.ReplyCode is Constants.AccessRefused or Constants.NotFound
        or Constants.ResourceLocked or Constants.PreconditionFailed or Constants.NotAllowed or Constants.NotImplemented
        ? CommandFailedException.Refused($"A broker refused: {reason.ReplyText} ({reason.ReplyCode})")
        : new ShovelLostException($"{reason.ReplyText} ({reason.ReplyCode})", reason.Exception);

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
