using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.VirtualHosts;
using FieldTable = OrleansMq.VirtualHosts.FieldTable;
using FieldValue = OrleansMq.VirtualHosts.FieldValue;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>The memory that queues in memory count.</summary>
public sealed class MemoryQueueTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly MemoryBudget _memory = new(1 << 30);
    private readonly Letters _letters = new();

    [Fact]
    public async Task Message_in_several_queues_counts_once_until_the_last_one_has_let_it_go()
    {
        var (first, second, third) = (NewQueue(), NewQueue(), NewQueue());
        var message = Message("shared");
        foreach (var queue in new[] { first, second, third })
            Assert.Equal(PublishOutcome.Accepted, await queue.PublishAsync(message));
        Assert.Equal(message.Bytes, _memory.Used);
        await using (var reader = await first.AttachAsync(0))
        {
            var held = Assert.Single(await reader.ReceiveAsync(1, Patience, CancellationToken.None));
            await reader.SettleAsync(held.Hold, Settlement.Accept);
        }
        Assert.Equal(1, await second.PurgeAsync());
        Assert.Equal(message.Bytes, _memory.Used);
        await third.DeleteAsync();
        Assert.Equal(0, _memory.Used);
    }

    [Fact]
    public async Task Deleted_queue_gives_back_once_what_it_had_ready_and_what_was_held()
    {
        var queue = NewQueue();
        foreach (var text in new[] { "one", "two", "three" })
            await queue.PublishAsync(Message(text));
        var reader = await queue.AttachAsync(0);
        var held = Assert.Single(await reader.ReceiveAsync(1, Patience, CancellationToken.None));
        await queue.DeleteAsync();
        Assert.Equal(0, _memory.Used);
        await reader.SettleAsync(held.Hold, Settlement.Return);
        await reader.DisposeAsync();
        await queue.DisposeAsync();
        Assert.Equal(0, _memory.Used);
        Assert.Equal(PublishOutcome.Gone, await queue.PublishAsync(Message("late")));
        Assert.Equal(0, _memory.Used);
    }

    [Fact]
    public async Task Copy_of_a_message_that_a_queue_holds_counts_by_itself()
    {
        var (source, target) = (NewQueue(("x-max-length", new IntegerValue(0))), NewQueue());
        var message = Message("dropped");
        await target.PublishAsync(message);
        await source.PublishAsync(message);
        var copy = Assert.Single(_letters.All) with { IsDeadLetter = true };
        Assert.Equal(message.Bytes, _memory.Used);
        await target.PublishAsync(copy);
        Assert.Equal(message.Bytes + copy.Bytes, _memory.Used);
        await target.PurgeAsync();
        Assert.Equal(0, _memory.Used);
    }

    private MemoryQueue NewQueue(params (string Name, FieldValue Value)[] arguments)
    {
        var state = new QueueState { Name = "q", Id = 1, Type = QueueType.Classic, Arguments = FieldTable.Of(arguments) };
        return new MemoryQueue(state, QueueSettings.Of(state, policy: null, limits: null), _letters, TimeProvider.System, _memory);
    }

    private static AmqpMessage Message(string body) => new("", "q", ContentProperties.None, System.Text.Encoding.UTF8.GetBytes(body), 0);

    private sealed class Letters : IDeadLetters
    {
        public List<AmqpMessage> All { get; } = [];

        public Task<bool> PublishAsync(AmqpMessage message, QueueState queue, QueueSettings settings, DeathReason reason,
            HashSet<long>? stored)
        {
            All.Add(message);
            return Task.FromResult(true);
        }
    }
}
