using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Metrics;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Streams;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>
/// A channel. Commands come one at a time; deliveries and the outcomes of publishes run beside them, under <see cref="Gate"/>.
/// <code>
/// plain -> confirming   confirm.select
///       -> in transactions   tx.select
/// </code>
/// A delivery is unacknowledged until the client settles it, or the channel ends and returns it. A publish counts among those in flight
/// until every queue has answered; the channel takes no further one while they have too many bytes.
/// </summary>
internal sealed partial class AmqpChannel(AmqpSession session, IChannelClient client) : IAmqpChannel
{
    private readonly ChannelOutput _output = new(client, session.Log);
    private readonly ChannelCounters _counters = session.Registry.Totals.Open();
    // The queue that an empty name stands for.
    private string _lastQueue = "";
    private bool _hasEnded;

    /// <summary>Guards what deliveries and outcomes of publishes share with commands. Nothing is sent under it.</summary>
    public Lock Gate { get; } = new();

    /// <summary>The clock.</summary>
    public TimeProvider Time => session.Time;

    /// <summary>What the consumers of the connection have received, and the client has not read yet.</summary>
    public UnreadDeliveries Deliveries => session.Deliveries;

    /// <inheritdoc/>
    public ValueTask OpenAsync() => default;

    /// <inheritdoc/>
    public async ValueTask HandleAsync(IMethod method, AmqpContent? content)
    {
        try
        {
            await DispatchAsync(method, content).ConfigureAwait(false);
        }
        catch (AmqpRefusedException refused)
        {
            throw refused.Refusal.ToException();
        }
        catch (QueueGoneException)
        {
            throw new AmqpException(ReplyCode.NotFound, "the queue was deleted meanwhile");
        }
        catch (BrokerException fault)
        {
            session.Log.Write(EngineLogLevel.Warning, $"'{method.Id}' failed; the connection is closed: {fault.Message}");
            throw new AmqpException(ReplyCode.InternalError, $"the outcome is unknown, connect again: {fault.Message}");
        }
    }

    /// <inheritdoc/>
    public async ValueTask EndAsync()
    {
        lock (Gate)
            _hasEnded = true;
        try
        {
            await EndConsumersAsync().ConfigureAwait(false);
        }
        finally
        {
            session.Registry.Totals.End(_counters);
        }
    }

    /// <inheritdoc/>
    public ChannelDescription Describe()
    {
        lock (Gate)
        {
            return new ChannelDescription
            {
                Number = client.Number,
                IsConfirming = _confirms is not null,
                IsTransactional = _transaction is not null,
                Prefetch = _nextLimit,
                SharedPrefetch = _sharedLimit,
                Unacknowledged = _unacknowledged.Count,
                Unconfirmed = _confirms?.Open ?? 0,
                UncommittedPublishes = _transaction?.Publishes ?? 0,
                UncommittedAcknowledgements = _transaction?.Acknowledgements ?? 0,
                Consumers = [.. _consumers.Values.OrderBy(static consumer => consumer.Tag, StringComparer.Ordinal)
                    .Select(static consumer => consumer.Describe())],
            };
        }
    }

    /// <summary>Waits until the client takes deliveries.</summary>
    public Task WaitForRoomAsync() => client.IsFull ? client.WaitForRoomAsync() : Task.CompletedTask;

    /// <summary>Whether the client is there, and the connection does not close.</summary>
    public bool CanDeliver => client.CanDeliver;

    /// <summary>Sends what was added. Not under <see cref="Gate"/>.</summary>
    public void Flush() => _output.Flush();

    private ValueTask DispatchAsync(IMethod method, AmqpContent? content) => method switch
    {
        BasicPublish publish => PublishAsync(publish, content!),
        BasicAck ack => AcknowledgeAsync(ack.DeliveryTag, ack.Multiple, Outcome.Acknowledged),
        BasicNack nack => AcknowledgeAsync(nack.DeliveryTag, nack.Multiple, nack.Requeue ? Outcome.Returned : Outcome.Rejected),
        BasicReject reject => AcknowledgeAsync(reject.DeliveryTag, false, reject.Requeue ? Outcome.Failed : Outcome.Rejected),
        BasicGet get => GetAsync(get),
        BasicConsume consume => ConsumeAsync(consume),
        BasicCancel cancel => CancelAsync(cancel),
        BasicQos qos => QosAsync(qos),
        BasicRecover recover => RecoverAsync(recover.Requeue, isAnswered: true),
        BasicRecoverAsync recover => RecoverAsync(recover.Requeue, isAnswered: false),
        ExchangeDeclare declare => DeclareExchangeAsync(declare),
        ExchangeDelete delete => DeleteExchangeAsync(delete),
        ExchangeBind bind => BindExchangeAsync(bind),
        ExchangeUnbind unbind => UnbindExchangeAsync(unbind),
        QueueDeclare declare => DeclareQueueAsync(declare),
        QueueBind bind => BindQueueAsync(bind),
        QueueUnbind unbind => UnbindQueueAsync(unbind),
        QueuePurge purge => PurgeAsync(purge),
        QueueDelete delete => DeleteQueueAsync(delete),
        ConfirmSelect select => SelectConfirms(select),
        TxSelect => SelectTransactions(),
        TxCommit => CommitAsync(),
        TxRollback => Rollback(),
        _ => throw new AmqpException(ReplyCode.NotImplemented, $"'{method.Id}' is not implemented"),
    };

    private void Reply<T>(bool isWanted, T method)
        where T : IMethod
    {
        if (isWanted)
            _output.Send(method);
    }

    private static void Check(AmqpRefusal? refusal)
    {
        if (refusal is not null)
            throw refusal.ToException();
    }

    // An empty name is the queue that was declared last.
    private string NameOf(string queue) => queue.Length > 0 ? ResourceNames.Clean(queue) : _lastQueue.Length > 0 ? _lastQueue
        : throw new AmqpException(ReplyCode.NotFound, "no previously declared queue");

    // Asks the owner before a queue counts as missing.
    private async ValueTask<QueueState> FindQueueAsync(string name)
    {
        var image = session.Image;
        if (image.Topology.FindQueue(name) is null)
            image = await session.RefreshAsync().ConfigureAwait(false);
        var decision = image.Topology.UseQueue(name, session.Id);
        Check(decision.Refusal);
        return decision.Queue!;
    }

    private async ValueTask<QueueEntry> OpenQueueAsync(string name)
    {
        if (TopicStream.Of(name) is { } topic)
        {
            await PublishedAsync().ConfigureAwait(false);
            return await session.OpenTopicAsync(topic).ConfigureAwait(false);
        }
        var queue = await FindQueueAsync(name).ConfigureAwait(false);
        await PublishedAsync().ConfigureAwait(false);
        await ReturnedAsync().ConfigureAwait(false);
        try
        {
            return await session.Registry.OpenAsync(session.VirtualHost, queue).ConfigureAwait(false);
        }
        catch (BrokerException gone) when (LogQueue.IsGone(gone.Code))
        {
            // It was deleted, and this broker's image is older than that.
            throw AmqpRefusal.NotFound(ResourceNames.Queue(session.VirtualHost, name)).ToException();
        }
    }
}
