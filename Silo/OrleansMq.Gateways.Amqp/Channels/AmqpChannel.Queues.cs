using System.Security.Cryptography;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Streams;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Channels;

// Class queue.
internal sealed partial class AmqpChannel
{
    private async ValueTask DeclareQueueAsync(QueueDeclare declare)
    {
        var name = ResourceNames.Clean(declare.Queue);
        if (name.StartsWith(DirectReplies.Name, StringComparison.Ordinal))
        {
            await session.Replies.CheckAsync(session.VirtualHost, name).ConfigureAwait(false);
            Reply(!declare.NoWait, new QueueDeclareOk(name, 0, 1));
            return;
        }
        if (TopicStream.Of(name) is not null)
        {
            Check(session.Access.CheckReadQueue(name));
            await using var stream = await OpenQueueAsync(name).ConfigureAwait(false);
            _lastQueue = name;
            Reply(!declare.NoWait, new QueueDeclareOk(name, Count(await stream.Queue.CountAsync().ConfigureAwait(false)), 0));
            return;
        }
        var (queue, isNew) = declare.Passive ? (await FindQueueAsync(NameOf(name)).ConfigureAwait(false), false)
            : await DeclareQueueAsync(name, declare, Publication.ToEngine(declare.Arguments)).ConfigureAwait(false);
        _lastQueue = queue.Name;
        if (isNew && session.Registry.OpenSoon(session.VirtualHost, queue))
        {
            await PublishedAsync().ConfigureAwait(false);
            await ReturnedAsync().ConfigureAwait(false);
            Reply(!declare.NoWait, new QueueDeclareOk(queue.Name, 0, 0));
            return;
        }
        var entry = await OpenQueueAsync(queue.Name).ConfigureAwait(false);
        entry.Used();
        Reply(!declare.NoWait, new QueueDeclareOk(queue.Name, Count(await entry.Queue.CountAsync().ConfigureAwait(false)),
            (uint)entry.Consumers));
    }

    private async ValueTask<(QueueState Queue, bool IsNew)> DeclareQueueAsync(string name, QueueDeclare declare,
        VirtualHosts.FieldTable arguments)
    {
        Check(session.Access.CheckDeclareQueue(name.Length > 0 ? name : VirtualHostTopology.GeneratedPrefix
            + Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(11)), arguments.Text(QueueArguments.DeadLetterExchange)));
        var declaration = new QueueDeclaration
        {
            Name = name,
            Durable = declare.Durable,
            Exclusive = declare.Exclusive,
            InMemory = (declare.Exclusive || !declare.Durable) && await session.Registry.KeepsInMemoryAsync().ConfigureAwait(false),
            AutoDelete = declare.AutoDelete,
            Arguments = arguments,
        };
        if (session.Image.Topology.FindQueue(name) is null)
            session.Mutate(declare.Durable && !declare.Exclusive);
        var answer = await session.SendAsync(new DeclareQueue(declaration, session.Id)).ConfigureAwait(false);
        if (session.Registry.HasLostHome(answer.Queue!))
        {
            await session.Registry.EndConnectionAsync(session.VirtualHost, ConnectionId.OfBroker(answer.Queue!.Keeper!))
                .ConfigureAwait(false);
            answer = await session.SendAsync(new DeclareQueue(declaration, session.Id)).ConfigureAwait(false);
        }
        return (answer.Queue!, answer.IsChanged);
    }

    private async ValueTask BindQueueAsync(QueueBind bind)
    {
        var name = NameOf(bind.Queue);
        // Both empty: the queue's own name.
        var key = bind is { Queue.Length: 0, RoutingKey.Length: 0 } ? name : bind.RoutingKey;
        await BindAsync(new BindingRequest(bind.Exchange, DestinationKind.Queue, name, key, Publication.ToEngine(bind.Arguments)),
            isBound: true).ConfigureAwait(false);
        Reply(!bind.NoWait, default(QueueBindOk));
    }

    private async ValueTask UnbindQueueAsync(QueueUnbind unbind)
    {
        var name = NameOf(unbind.Queue);
        var key = unbind is { Queue.Length: 0, RoutingKey.Length: 0 } ? name : unbind.RoutingKey;
        await BindAsync(new BindingRequest(unbind.Exchange, DestinationKind.Queue, name, key, Publication.ToEngine(unbind.Arguments)),
            isBound: false).ConfigureAwait(false);
        Reply(true, default(QueueUnbindOk));
    }

    private async ValueTask PurgeAsync(QueuePurge purge)
    {
        var name = NameOf(purge.Queue);
        Check(session.Access.CheckReadQueue(name));
        var entry = await OpenQueueAsync(name).ConfigureAwait(false);
        CheckIsNoStream(entry, "queue.purge");
        Reply(!purge.NoWait, new QueuePurgeOk(Count(await entry.Queue.PurgeAsync().ConfigureAwait(false))));
    }

    private async ValueTask DeleteQueueAsync(QueueDelete delete)
    {
        HoldCancels();
        try
        {
            var messages = await DeleteQueueOfAsync(delete).ConfigureAwait(false);
            Reply(!delete.NoWait, new QueueDeleteOk(Count(messages)));
        }
        finally
        {
            SendCancels();
        }
    }

    // Returns how many messages it had.
    private async ValueTask<long> DeleteQueueOfAsync(QueueDelete delete)
    {
        var name = NameOf(delete.Queue);
        Check(session.Access.CheckDeleteQueue(name));
        var image = session.Image.Topology.FindQueue(name) is null ? await session.RefreshAsync().ConfigureAwait(false) : session.Image;
        Check(image.Topology.DeleteQueue(name, session.Id).Refusal);
        if (image.Topology.FindQueue(name) is not { } queue)
            return 0;
        var messages = await CountDeletedAsync(queue, delete.IfEmpty).ConfigureAwait(false);
        Check(image.Topology.DeleteQueue(name, session.Id, delete.IfUnused, delete.IfEmpty, new QueueFacts(messages)).Refusal);
        session.Mutate(queue.Durable);
        await session.SendAsync(new DeleteQueue(name, session.Id, queue.Id, delete.IfUnused)).ConfigureAwait(false);
        await session.Registry.EndAsync(session.VirtualHost, queue).ConfigureAwait(false);
        await EndGetterAsync(queue.Id).ConfigureAwait(false);
        return messages;
    }

    // A queue is opened only where it must be known to be empty: this broker may not have heard of its topic yet.
    private async ValueTask<long> CountDeletedAsync(QueueState queue, bool ifEmpty)
    {
        if (session.Registry.HasLostHome(queue))
            return 0;
        if (ifEmpty)
            return await (await OpenQueueAsync(queue.Name).ConfigureAwait(false)).Queue.CountAsync().ConfigureAwait(false);
        await PublishedAsync().ConfigureAwait(false);
        await ReturnedAsync().ConfigureAwait(false);
        return (await session.Registry.CountAsync(session.VirtualHost, queue, LogQueue.Patience).ConfigureAwait(false)).Ready;
    }

    private void CheckIsNoStream(QueueEntry entry, string operation)
    {
        if (entry.State.Type == QueueType.Stream)
            throw new AmqpException(ReplyCode.NotImplemented,
                $"{operation} not supported by stream queues {ResourceNames.Queue(session.VirtualHost, entry.State.Name)}");
    }

    private static uint Count(long messages) => (uint)Math.Min(messages, uint.MaxValue);
}
