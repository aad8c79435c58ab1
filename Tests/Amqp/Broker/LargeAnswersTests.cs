using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Queues;
using RabbitMQ.Client;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>Many consumers of large messages in the memory of another gateway, which has little memory.</summary>
public sealed class LargeAnswersTests : TwoGateways
{
    private const string Queue = "large";

    private protected override long MaxMemoryBytes => MemoryBudget.LeastLimit;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Large_messages_that_are_handed_out_at_once_are_on_their_way_a_few_at_a_time(bool isLossy)
    {
        const int Count = 12;
        const int Size = 3 << 20;
        await Home.QueueDeclareAsync(Queue, durable: false, exclusive: false, autoDelete: false);
        var received = new List<List<string>>();
        for (var i = 0; i < Count; i++)
            received.Add(await ConsumeAsync(await Connections[1].CreateChannelAsync(), Queue));
        var random = new Random(1);
        if (isLossy)
        {
            Peers.AskTwice = true;
            Peers.Asking = gateway => !gateway.StartsWith(QueueHomes.ReadersName, StringComparison.Ordinal) || IsKept();
            Peers.Answering = () => Task.FromResult(IsKept());
        }
        for (var i = 0; i < Count; i++)
            await Home.BasicPublishAsync("", Queue, mandatory: true, new byte[Size]).AsTask().WaitAsync(Patience);
        // Some may come twice.
        await UntilAsync(() => received.Sum(static one =>
        {
            lock (one)
                return one.Count;
        }) >= Count);
        (Peers.Asking, Peers.Answering) = (static _ => true, static () => Task.FromResult(true));
        var registry = await Gateways[0].OpenQueuesAsync();
        Assert.InRange(registry.Answers.MostBytes, Size, MemoryBudget.LeastLimit / 8);
        var queue = Hosts[0].Find("/")!.Topology.FindQueue(Queue)!;
        await UntilAsync(async () => await registry.CountAsync("/", queue) is { Ready: 0, Held: 0 });
        // All of the room is free again, though what tells so was lost.
        await registry.Answers.EnterAsync(MemoryBudget.LeastLimit / 8).WaitAsync(Patience);

        bool IsKept()
        {
            lock (random)
                return random.Next(5) > 0;
        }
    }
}
