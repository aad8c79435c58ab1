using System.Globalization;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Delays;
using OrleansMq.Gateways.Amqp.Metrics;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Streams;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Channels;

// basic.publish, and class confirm.
internal sealed partial class AmqpChannel
{
    // Bytes of publishes that no queue has answered: the channel takes the next one below it.
    private const long MaxPublishing = 8L << 20;

    private readonly PublishWindow _publishes = new(MaxPublishing);
    private readonly ChannelPatience _patience = new(client.Ending, MaxReturning, session.Time);
    private ConfirmWindow? _confirms;

    private ValueTask SelectConfirms(ConfirmSelect select)
    {
        if (_transaction is not null)
            throw new AmqpException(ReplyCode.PreconditionFailed, "cannot switch from tx to confirm mode");
        _confirms ??= new ConfirmWindow();
        Reply(!select.NoWait, default(ConfirmSelectOk));
        return default;
    }

    private async ValueTask PublishAsync(BasicPublish publish, AmqpContent content)
    {
        if (publish.Immediate)
            throw new AmqpException(ReplyCode.NotImplemented, "immediate=true");
        // The content's memory ends with this command.
        var bytes = new byte[content.Properties.Bytes.Length + content.Body.Length];
        content.Properties.Bytes.CopyTo(bytes);
        content.Body.CopyTo(bytes.AsMemory(content.Properties.Bytes.Length));
        var message = new AmqpMessage(publish.Exchange, publish.RoutingKey, new ContentProperties(bytes.AsMemory(0,
            content.Properties.Bytes.Length)), bytes.AsMemory(content.Properties.Bytes.Length),
            session.Time.GetUtcNow().ToUnixTimeMilliseconds());
        await CheckPublishAsync(publish, message).ConfigureAwait(false);
        _counters.Add(MessageCount.Received);
        if (_confirms is not null)
            _counters.Add(MessageCount.ReceivedConfirm);
        if (message.Properties.ReplyTo == DirectReplies.Name)
            message = message with { Properties = message.Properties.With(BasicProperty.ReplyTo, _replyKey
                ?? throw new AmqpException(ReplyCode.PreconditionFailed, "fast reply consumer does not exist")) };
        if (_transaction is { } transaction)
        {
            transaction.Add(publish.Mandatory, message);
            return;
        }
        var tag = NextTag();
        var published = await RouteAsync(publish.Mandatory, message).ConfigureAwait(false);
        if (published.All(static task => task.IsCompletedSuccessfully))
        {
            Confirm(tag, IsAccepted(published));
            return;
        }
        _ = CompleteAsync(tag, message.Bytes, published);
        await _patience.WaitAsync(_publishes.WaitForRoomAsync()).ConfigureAwait(false);
        await _patience.WaitAsync(session.Publishes.WaitForRoomAsync()).ConfigureAwait(false);
    }

    private ulong NextTag()
    {
        lock (Gate)
            return _confirms?.Next() ?? 0;
    }

    private async ValueTask CheckPublishAsync(BasicPublish publish, AmqpMessage message)
    {
        var topology = session.Image.Topology;
        var exchange = topology.FindExchange(publish.Exchange);
        Check(session.Access.CheckPublish(publish.Exchange, exchange));
        if (exchange is null)
        {
            topology = (await session.RefreshAsync().ConfigureAwait(false)).Topology;
            exchange = topology.FindExchange(publish.Exchange);
        }
        Check(topology.CheckPublish(publish.Exchange));
        Check(session.Access.CheckPublish(publish.Exchange, exchange, [.. Publication.CheckKeys(message)]));
        Check(session.Access.CheckUserId(message.Properties.UserId));
        if (message.Properties.Expiration is { } expiration && FaultOfExpiration(expiration) is { } fault)
            throw new AmqpException(ReplyCode.PreconditionFailed, $"invalid expiration '{expiration}': {fault}");
        if (RecordKey.FaultOf(message.Properties) is { } unfit)
            throw new AmqpException(ReplyCode.PreconditionFailed, unfit);
        if (publish.Exchange.Length == 0 && TopicStream.Of(publish.RoutingKey) is { } topic)
        {
            Check(session.Access.CheckWriteTopic(topic.Name));
            (await session.OpenPublisherAsync(topic).ConfigureAwait(false)).Check(topic);
        }
        if (exchange?.Type == ExchangeTypes.Delayed && DelayedMessages.FaultOf(message) is { } tooMuch)
            throw new AmqpException(ReplyCode.PreconditionFailed, tooMuch);
        // What a transaction cannot publish is refused before it has published others.
        if (_transaction is not null && DelayedMessages.DelayOf(message.Properties.Headers) is not null)
            TargetsOf(session.Image, message);
    }

    private static string? FaultOfExpiration(string text)
    {
        var digits = text.AsSpan().TrimStart('-');
        var end = 0;
        while (end < digits.Length && char.IsAsciiDigit(digits[end]))
            end++;
        if (end == 0)
            return "no_integer";
        if (end < digits.Length)
            return $"{{leftover_string,\"{digits[end..]}\"}}";
        if (text[0] == '-')
            return $"{{value_negative,{text}}}";
        return long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var milliseconds)
            && milliseconds <= QueueArguments.MaxExpiry ? null : $"{{value_too_large,{text}}}";
    }

    // Publishes to each queue in the order of the channel's commands. A mandatory message without a queue is returned before its ack.
    private async ValueTask<List<Task<PublishOutcome>>> RouteAsync(bool isMandatory, AmqpMessage message)
    {
        var published = new List<Task<PublishOutcome>>(1);
        // The headers CC and BCC of an answer may lead to queues, too.
        var isReply = message.Exchange.Length == 0 && DirectReplies.IsReply(message.RoutingKey);
        if (isReply)
        {
            session.Replies.Deliver(Publication.WithoutBlindCopies(message));
            _counters.Add(MessageCount.Routed);
        }
        var image = session.Image;
        if (message.Exchange.Length == 0 && TopicStream.Of(message.RoutingKey) is { } topic)
        {
            var publisher = await session.OpenPublisherAsync(topic).ConfigureAwait(false);
            published.Add(session.PublishAsync(publisher, topic, Publication.WithoutBlindCopies(message)));
        }
        var targets = TargetsOf(image, message);
        if (targets.Length == 0 && (isReply || published.Count > 0))
            return published;
        if (targets.Length == 0 && isMandatory)
        {
            // A binding may be newer than this broker's image.
            image = await session.RefreshAsync().ConfigureAwait(false);
            targets = TargetsOf(image, message);
        }
        if (targets.Length == 0)
        {
            _counters.Add(isMandatory ? MessageCount.UnroutableReturned : MessageCount.UnroutableDropped);
            if (isMandatory)
            {
                _output.Add(new BasicReturn((ushort)ReplyCode.NoRoute, "NO_ROUTE", message.Exchange, message.RoutingKey),
                    message.Properties, message.Body);
                _output.Flush();
            }
            return published;
        }
        var stripped = Publication.WithoutBlindCopies(message);
        foreach (var target in targets)
        {
            var queue = target.Kind == DestinationKind.Queue ? image.Topology.FindQueue(target.Name) : null;
            if (queue is null && target.Kind == DestinationKind.Queue)
                continue;
            // An exchange that delays it routes it by all of its keys, later.
            var sent = queue is null ? message : stripped;
            published.Add(await (published.Count == 0 ? PublishAsync(target, queue, sent) : PublishCopyAsync(target, queue, sent))
                .ConfigureAwait(false));
        }
        _counters.Add(MessageCount.Routed, published.Count);
        return published;
    }

    // Bindings may change before a delayed message is due. One that takes too many steps now is refused while its publisher is there, as is
    // one that cannot be delayed.
    private static RouteTarget[] TargetsOf(VirtualHostImage image, AmqpMessage message)
    {
        var routed = Publication.RoutedOf(message);
        var targets = image.Routes.TargetsOf(message.Exchange, routed) ?? throw Publication.TooMuchRouting(message);
        if (!routed.IsDelayed || !Array.Exists(targets, static target => target.Kind == DestinationKind.Exchange))
            return targets;
        if (DelayedMessages.FaultOf(message) is { } fault)
            throw new AmqpException(ReplyCode.PreconditionFailed, fault);
        if (image.Routes.TargetsOf(message.Exchange, routed with { IsDelayed = false }) is null)
            throw Publication.TooMuchRouting(message);
        return targets;
    }

    // Completes once the message has its place in the queue's order. Without a queue the target is an exchange that delays it.
    private async ValueTask<Task<PublishOutcome>> PublishAsync(RouteTarget target, QueueState? queue, AmqpMessage message)
    {
        if (queue is null)
            return session.Registry.Delays.PublishAsync(session.VirtualHost, message, target.Name);
        QueueEntry entry;
        try
        {
            entry = await session.Registry.OpenAsync(session.VirtualHost, queue).ConfigureAwait(false);
        }
        catch (BrokerException gone) when (LogQueue.IsGone(gone.Code))
        {
            // It was deleted, and this broker's image is older than that.
            return Task.FromResult(PublishOutcome.Gone);
        }
        return entry.Queue.PublishAsync(message);
    }

    // A message's first queue is bounded with the message. Each further one has a copy of it in the end: the next goes on its way once
    // there is room. A channel that ends gives up the queues that there is no room for, and the message is not confirmed.
    private async ValueTask<Task<PublishOutcome>> PublishCopyAsync(RouteTarget target, QueueState? queue, AmqpMessage message)
    {
        var (room, bytes) = (session.Copies, message.Bytes);
        var entry = room.EnterAsync(bytes);
        if (!await _patience.WaitAsync(entry).ConfigureAwait(false) && room.TryWithdraw(entry))
            return Task.FromResult(PublishOutcome.Unknown);
        Task<PublishOutcome>? published = null;
        try
        {
            published = await PublishAsync(target, queue, message).ConfigureAwait(false);
            return published;
        }
        finally
        {
            if (published is null or { IsCompleted: true })
                room.Exit(bytes);
            else
                _ = ExitAfterAsync(published, bytes);
        }
    }

    private async Task ExitAfterAsync(Task published, long bytes)
    {
        await published.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        session.Copies.Exit(bytes);
    }

    // A queue that was deleted meanwhile has nothing to keep.
    private static bool IsAccepted(List<Task<PublishOutcome>> published) =>
        published.All(static task => task.Result is PublishOutcome.Accepted or PublishOutcome.Gone);

    private async Task CompleteAsync(ulong tag, int bytes, List<Task<PublishOutcome>> published)
    {
        _publishes.Add(bytes);
        session.Publishes.Add(bytes);
        session.Registry.Memory.Add(bytes);
        bool isAccepted;
        try
        {
            await Task.WhenAll(published).ConfigureAwait(false);
            isAccepted = IsAccepted(published);
        }
        catch (Exception fault)
        {
            session.Log.Write(Diagnostics.EngineLogLevel.Error, "A publish failed, and is not confirmed.", fault);
            isAccepted = false;
        }
        session.Registry.Memory.Add(-bytes);
        session.Publishes.Remove(bytes);
        _publishes.Remove(bytes);
        Confirm(tag, isAccepted);
    }

    // What a channel publishes is in the queues for its next command, and when its close is answered.
    private Task PublishedAsync() => _publishes.WaitForNoneAsync();

    // What is complete at the same time shares an ack: the report follows on another thread.
    private void Confirm(ulong tag, bool isAccepted)
    {
        if (tag == 0)
            return;
        bool mustReport;
        lock (Gate)
        {
            mustReport = _confirms!.Complete(tag, isAccepted);
            if (isAccepted)
                _counters.Add(MessageCount.Confirmed);
        }
        if (mustReport)
            ThreadPool.UnsafeQueueUserWorkItem(static channel => channel.Report(), this, preferLocal: false);
    }

    private void Report()
    {
        lock (Gate)
            _confirms!.Report(_output);
        _output.Flush();
    }
}
