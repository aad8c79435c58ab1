using OrleansMq.Tests.Chaos.Running;
using RabbitMQ.Client;

namespace OrleansMq.Tests.Chaos.Amqp;

/// <summary>Publishes to the queues in turns, with confirms. Each message is sent once: one that is not confirmed has an unknown
/// outcome.</summary>
internal sealed class AmqpPublisher(RunningCluster cluster, AmqpLoad load, AmqpHistory history, string name, Action<string> refused)
    : AmqpClient(cluster, history, name, refused)
{
    // The most messages without an outcome. A publisher waits for the confirms before it goes on.
    private const int Window = 200;

    protected override async Task ServeAsync(AmqpLink link, CancellationToken close)
    {
        await using var channel = await link.OpenChannelAsync(confirms: true, close);
        var open = new OpenPublishes(History);
        channel.BasicAcksAsync += (_, ack) => open.CompleteAsync(ack.DeliveryTag, ack.Multiple, isConfirmed: true);
        channel.BasicNacksAsync += (_, nack) => open.CompleteAsync(nack.DeliveryTag, nack.Multiple, isConfirmed: false);
        channel.BasicReturnAsync += (_, returned) =>
        {
            History.Unroutable(MessageId.Of(returned.Body.Span));
            return Task.CompletedTask;
        };
        var publisher = History.NewPublisher();
        var properties = new BasicProperties { Persistent = true };
        for (var count = 0; !close.IsCancellationRequested && !link.Broken.IsCompleted; count++)
        {
            await RestAsync(close);
            var id = History.Publish(publisher, AmqpLoad.Published[count % AmqpLoad.Published.Count]);
            open.Add(id);
            // Not cancelled: a frame is sent as a whole.
            await channel.BasicPublishAsync("", id.Queue, mandatory: true, properties, id.ToBody(), CancellationToken.None);
            do
            {
                await Task.WhenAny(Task.Delay(TimeSpan.FromSeconds(1.0 / load.MessagesPerSecond), close), link.Broken);
            }
            while (open.Count >= Window && !close.IsCancellationRequested && !link.Broken.IsCompleted);
        }
        await open.EmptyAsync(link.Broken);
    }

    /// <summary>The messages of a channel without an outcome, by their tags.</summary>
    private sealed class OpenPublishes(AmqpHistory history)
    {
        private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

        private readonly Lock _lock = new();
        private readonly SortedDictionary<ulong, MessageId> _open = [];
        private ulong _last;

        public int Count
        {
            get
            {
                lock (_lock)
                    return _open.Count;
            }
        }

        public void Add(MessageId id)
        {
            lock (_lock)
                _open.Add(++_last, id);
        }

        public Task CompleteAsync(ulong tag, bool isMultiple, bool isConfirmed)
        {
            lock (_lock)
            {
                ulong[] tags = isMultiple ? [.. _open.Keys.TakeWhile(open => open <= tag)] : [tag];
                foreach (var completed in tags)
                {
                    if (_open.Remove(completed, out var id) && isConfirmed)
                        history.Confirm(id);
                }
            }
            return Task.CompletedTask;
        }

        /// <summary>Waits for the last outcomes.</summary>
        public async Task EmptyAsync(Task broken)
        {
            using var patience = new CancellationTokenSource(Patience);
            while (Count > 0 && !broken.IsCompleted && !patience.IsCancellationRequested)
                await Task.Delay(20, CancellationToken.None);
        }
    }
}
