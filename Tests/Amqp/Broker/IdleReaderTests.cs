using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Tests.Engine.Partitions;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>What consumers of a queue in the memory of another gateway ask that while they have nothing to do.</summary>
public sealed class IdleReaderTests : TwoGateways
{
    private const string Queue = "idle";

    private readonly ManualClock _clock = new();
    private int _receives;
    private int _settles;

    private protected override TimeProvider Time => _clock;

    [Fact]
    public async Task Consumer_that_waits_for_messages_says_in_no_other_way_that_it_is_there()
    {
        await DeclareAsync();
        var received = await ConsumeAsync(Other, Queue);
        for (var receives = 1; receives <= 8; receives++)
        {
            await UntilAsync(() => Volatile.Read(ref _receives) == receives);
            _clock.Advance(TimeSpan.FromSeconds(6));
        }
        Assert.Equal(0, Volatile.Read(ref _settles));
        // That is longer than a reader stays that is not heard of.
        await Home.BasicPublishAsync("", Queue, mandatory: true, Bytes("m"));
        await UntilAsync(() => received.Count == 1);
    }

    [Fact]
    public async Task Consumer_without_credit_says_that_it_is_there_and_keeps_what_it_holds()
    {
        await DeclareAsync();
        await Other.BasicQosAsync(0, 1, global: false);
        var received = new TaskCompletionSource<ulong>();
        var consumer = new AsyncEventingBasicConsumer(Other);
        consumer.ReceivedAsync += (_, delivery) =>
        {
            received.TrySetResult(delivery.DeliveryTag);
            return Task.CompletedTask;
        };
        await Other.BasicConsumeAsync(Queue, autoAck: false, consumer);
        await Home.BasicPublishAsync("", Queue, mandatory: true, Bytes("m"));
        var tag = await received.Task.WaitAsync(Patience);
        for (var settles = 1; settles <= 5; settles++)
        {
            _clock.Advance(HomeReaders.Lifetime / 4);
            await UntilAsync(() => Volatile.Read(ref _settles) == settles);
        }
        Assert.Null(await Home.BasicGetAsync(Queue, autoAck: true));
        await Other.BasicAckAsync(tag, multiple: false);
        await UntilAsync(() => Volatile.Read(ref _settles) == 6);
    }

    private async Task DeclareAsync()
    {
        Peers.Arrived = (gateway, question) =>
        {
            if (!gateway.StartsWith(QueueHomes.ReadersName, StringComparison.Ordinal))
                return;
            if (question.Span[0] == ReaderFrames.ReceiveKind)
                Interlocked.Increment(ref _receives);
            else if (question.Span[0] == ReaderFrames.SettleKind)
                Interlocked.Increment(ref _settles);
        };
        await Home.QueueDeclareAsync(Queue, durable: false, exclusive: false, autoDelete: false);
    }
}
