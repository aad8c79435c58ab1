using System.Text;
using System.Threading.Channels;
using OrleansMq.Tests.Chaos.Running;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace OrleansMq.Tests.Chaos.Amqp;

/// <summary>Consumes a queue and answers each delivery as its message's fate says, in transactions or without.</summary>
internal sealed class AmqpConsumer(RunningCluster cluster, string queue, bool isTransactional, AmqpHistory history, string name,
    Action<string> refused) : AmqpClient(cluster, history, name, refused)
{
    private const ushort Prefetch = 20;
    private const int MostAtOnce = 8;

    protected override async Task ServeAsync(AmqpLink link, CancellationToken close)
    {
        await using var channel = await link.OpenChannelAsync(confirms: false, close);
        if (isTransactional)
            await channel.TxSelectAsync(close);
        await channel.BasicQosAsync(0, Prefetch, global: false, close);
        var deliveries = Channel.CreateUnbounded<(ulong Tag, MessageId Id, Answer Answer)>();
        var consumer = new AsyncEventingBasicConsumer(channel);
        var number = History.Open(queue);
        consumer.ReceivedAsync += (_, delivery) =>
        {
            Receive(number, delivery, deliveries.Writer);
            return Task.CompletedTask;
        };
        try
        {
            await channel.BasicConsumeAsync(queue, autoAck: false, consumer, close);
            await AnswerAllAsync(number, channel, deliveries.Reader, link, close);
        }
        finally
        {
            History.End(number);
        }
    }

    private void Receive(int number, BasicDeliverEventArgs delivery, ChannelWriter<(ulong, MessageId, Answer)> deliveries)
    {
        var headers = delivery.BasicProperties.Headers;
        var seen = new AmqpDelivery(MessageId.Of(delivery.Body.Span), delivery.Redelivered,
            headers?.TryGetValue("x-delivery-count", out var count) == true ? Convert.ToInt64(count,
            System.Globalization.CultureInfo.InvariantCulture) : 0, TextOf("x-first-death-reason"), TextOf("x-first-death-queue"));
        History.Deliver(number, seen);
        if (seen.Id is { } id)
            deliveries.TryWrite((delivery.DeliveryTag, id, AmqpLoad.AnswerTo(queue, id, seen.IsRedelivered, seen.Failures)));

        string? TextOf(string name) => headers?.TryGetValue(name, out var value) == true && value is byte[] text
            ? Encoding.UTF8.GetString(text) : null;
    }

    private async Task AnswerAllAsync(int number, IChannel channel, ChannelReader<(ulong Tag, MessageId Id, Answer Answer)> deliveries,
        AmqpLink link, CancellationToken close)
    {
        while (!close.IsCancellationRequested)
        {
            await Task.WhenAny(deliveries.WaitToReadAsync(close).AsTask(), link.Broken);
            if (link.Broken.IsCompleted || close.IsCancellationRequested)
                return;
            await RestAsync(close);
            var taken = new List<(ulong Tag, MessageId Id, Answer Answer)>();
            while (taken.Count < MostAtOnce && deliveries.TryRead(out var delivery))
                taken.Add(delivery);
            foreach (var (_, id, answer) in taken)
                History.Try(number, id, answer);
            await AnswerAsync(channel, taken);
            if (!isTransactional)
                continue;
            await channel.TxCommitAsync(CancellationToken.None);
            History.Commit(number, taken.Select(static one => (one.Id, one.Answer)));
        }
    }

    // Tags come in order, and all before these are answered.
    private static async Task AnswerAsync(IChannel channel, List<(ulong Tag, MessageId Id, Answer Answer)> taken)
    {
        if (taken.All(static one => one.Answer == Answer.Accept))
        {
            await channel.BasicAckAsync(taken[^1].Tag, multiple: true, CancellationToken.None);
            return;
        }
        foreach (var (tag, _, answer) in taken)
        {
            await (answer switch
            {
                Answer.Accept => channel.BasicAckAsync(tag, multiple: false, CancellationToken.None),
                Answer.Return => channel.BasicNackAsync(tag, multiple: false, requeue: true, CancellationToken.None),
                _ => channel.BasicRejectAsync(tag, requeue: answer == Answer.Fail, CancellationToken.None),
            });
        }
    }
}
