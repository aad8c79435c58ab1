using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Hosting;
using OrleansMq.Tests.Engine.Partitions;
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
    public async Task Message_in_several_queues_counts_once_and_a_place_in_each_until_the_last_one_has_let_it_go()
    {
        var (first, second, third) = (NewQueue(), NewQueue(), NewQueue());
        var message = Message("shared");
        foreach (var queue in new[] { first, second, third })
            Assert.Equal(PublishOutcome.Accepted, await queue.PublishAsync(message));
        Assert.Equal(message.Bytes + (2 * AmqpMessage.HolderBytes), _memory.Used);
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
    public async Task Purge_up_to_a_place_keeps_what_came_later()
    {
        var queue = NewQueue();
        await queue.PublishAsync(Message("first"));
        var end = queue.LastPlace;
        var later = Message("later");
        await queue.PublishAsync(later);
        Assert.Equal(1, queue.Purge(end));
        Assert.Equal(0, queue.Purge(end));
        Assert.Equal((1, later.Body.Length), ((await queue.CountAllAsync()).Ready, (await queue.CountAllAsync()).ReadyBytes));
        Assert.Equal(later.Bytes, _memory.Used);
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

    [Fact]
    public async Task Message_with_no_time_to_live_goes_to_a_consumer_that_waits_or_expires()
    {
        var queue = NewQueue(("x-message-ttl", new IntegerValue(0)));
        var reader = await queue.AttachAsync(0);
        var receiving = reader.ReceiveAsync(2, Patience, CancellationToken.None);
        await queue.PublishAsync(Message("waited for"));
        var held = Assert.Single(await receiving);
        Assert.Empty(_letters.All);
        // Neither a returned message stays nor one that no consumer waits for.
        await reader.SettleAsync(held.Hold, Settlement.Return);
        await queue.PublishAsync(Message("late"));
        Assert.Empty(await reader.ReceiveAsync(2, TimeSpan.Zero, CancellationToken.None));
        Assert.Equal(2, _letters.All.Count);
        Assert.Equal(0, _memory.Used);
    }

    [Theory]
    [InlineData(null, "0", 50)]
    [InlineData(0, null, 50)]
    [InlineData(0, "70", 50)]
    [InlineData(60, "70", 60)]
    [InlineData(null, null, null)]
    public void Message_on_the_log_lives_long_enough_to_reach_a_consumer_that_waits(int? queueTtl, string? expiration, int? lives)
    {
        var message = Message("m");
        if (expiration is not null)
            message = message with
            {
                Properties = message.Properties.With(BasicProperty.Expiration,
                    [(byte)expiration.Length, .. System.Text.Encoding.UTF8.GetBytes(expiration)]),
            };
        Assert.Equal(1000 + lives, message.ExpiresOnLogAt(queueTtl is { } ttl ? TimeSpan.FromMilliseconds(ttl) : null, 1000));
        var state = new QueueState { Name = "q", Id = 1, Type = QueueType.Quorum, Arguments = FieldTable.Of(
            ("x-message-ttl", new IntegerValue(queueTtl ?? 1000))) };
        Assert.Equal(TimeSpan.FromMilliseconds(Math.Max(queueTtl ?? 1000, 50)),
            LogQueue.OptionsOf(QueueSettings.Of(state, policy: null, limits: null)).TimeToLive);
    }

    [Fact]
    public async Task Letter_that_goes_through_thousands_of_queues_does_not_deepen_the_stack()
    {
        const int Count = 5000;
        const int Stack = 512 << 10;
        var chain = new Chain();
        for (var id = 0; id < Count; id++)
        {
            var state = new QueueState { Name = $"q{id}", Id = id, Type = QueueType.Classic, Arguments = FieldTable.Of(
                ("x-max-length", new IntegerValue(0))) };
            chain.Queues.Add(new MemoryQueue(state, QueueSettings.Of(state, policy: null, limits: null), chain, TimeProvider.System,
                _memory));
        }
        var publisher = new Thread(() => _ = chain.Queues[0].PublishAsync(Message("m")), Stack);
        publisher.Start();
        await chain.Ended.WaitAsync(Patience);
        publisher.Join();
    }

    [Fact]
    public async Task Letters_that_are_not_stored_take_memory_and_block_publishers()
    {
        const int Count = 500;
        var memory = new MemoryBudget(100_000);
        var stored = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        var letters = new Letters { Answer = stored.Task };
        var queue = NewQueue(letters, memory, ("x-max-length", new IntegerValue(1)));
        var bytes = Message("000").Bytes;
        for (var i = 0; i < Count; i++)
            Assert.Equal(PublishOutcome.Accepted, await queue.PublishAsync(Message($"{i:000}")));
        Assert.Equal((Count * (long)bytes, true), (memory.Used, memory.IsOver));
        Assert.Equal(LetterLane.MaxInFlight, letters.Count);
        stored.SetResult(true);
        Assert.True(SpinWait.SpinUntil(() => memory.Used == bytes, Patience));
        Assert.False(memory.IsOver);
        Assert.Equal(Enumerable.Range(0, Count - 1), letters.All.Select(static letter =>
            int.Parse(Encoding.UTF8.GetString(letter.Body.Span), CultureInfo.InvariantCulture)));
    }

    [Fact]
    public async Task Counts_are_those_of_ready_and_held_messages_however_they_come_and_go()
    {
        var queue = NewQueue();
        foreach (var text in new[] { "a", "bb", "ccc" })
            await queue.PublishAsync(Message(text));
        var reader = queue.Attach(0);
        var held = await reader.ReceiveAsync(2, Patience, CancellationToken.None);
        Assert.Equal(new QueueCounts(1, 2, 3, 3), await queue.CountAllAsync());
        await reader.SettleAsync(held[0].Hold, Settlement.Accept);
        await reader.SettleAsync(held[0].Hold, Settlement.Return);
        Assert.Equal(new QueueCounts(1, 1, 3, 2), await queue.CountAllAsync());
        await reader.SettleAsync(held[1].Hold, Settlement.Return);
        Assert.Equal(new QueueCounts(2, 0, 5, 0), await queue.CountAllAsync());
        await reader.ReceiveAsync(2, Patience, CancellationToken.None);
        await reader.DisposeAsync();
        Assert.Equal(new QueueCounts(2, 0, 5, 0), await queue.CountAllAsync());
    }

    [Fact]
    public async Task Receive_of_a_reader_that_has_ended_takes_nothing()
    {
        var queue = NewQueue();
        await queue.PublishAsync(Message("m"));
        var reader = queue.Attach(0);
        await reader.DisposeAsync();
        Assert.Empty(await reader.ReceiveAsync(1, Patience, CancellationToken.None));
        Assert.Equal(1, (await queue.CountAllAsync()).Ready);
    }

    [Fact]
    public async Task Reader_of_another_broker_keeps_no_message_that_is_settled_or_whose_queue_is_gone()
    {
        var queue = NewQueue();
        await using var reader = NewReader(queue);
        var (first, second) = await ReceiveAsync(queue, reader);
        // The same call has the same answer.
        Assert.Equal("1 first, 2 second", await RepeatAsync(reader));
        await reader.SettleAsync([(1, Settlement.Accept)]);
        Assert.Equal("2 second", await RepeatAsync(reader));
        Collect();
        Assert.False(first.IsAlive);
        Assert.True(second.IsAlive);
        await queue.DeleteAsync();
        Assert.Empty((await reader.ReceiveAsync(1, 2, Patience))!);
        Assert.Empty(await reader.ReadAsync(2));
        Collect();
        Assert.False(second.IsAlive);
        Assert.Equal(0, _memory.Used);

        static void Collect()
        {
            for (var i = 0; i < 3; i++)
            {
                GC.Collect();
                GC.WaitForPendingFinalizers();
            }
        }
    }

    [Fact]
    public async Task Receive_that_waits_as_its_reader_ends_is_answered()
    {
        var queue = NewQueue();
        var reader = queue.Attach(0);
        var receiving = reader.ReceiveAsync(1, Timeout.InfiniteTimeSpan, CancellationToken.None);
        Assert.False(receiving.IsCompleted);
        await reader.DisposeAsync();
        Assert.Empty(await receiving.AsTask().WaitAsync(Patience));
    }

    [Fact]
    public async Task Receive_of_a_remote_reader_that_has_ended_says_nothing_of_the_queue()
    {
        var queue = NewQueue();
        var reader = NewReader(queue);
        Assert.False(reader.HasEnded);
        await reader.DisposeAsync();
        Assert.True(reader.HasEnded);
        Assert.Empty((await reader.ReceiveAsync(1, 1, TimeSpan.Zero))!);
    }

    [Fact]
    public async Task Reader_of_another_broker_that_asks_nothing_for_long_ends()
    {
        var clock = new ManualClock();
        var queue = NewQueue();
        await queue.PublishAsync(Message("m"));
        using var readers = new HomeReaders((_, _) => Task.FromResult<MemoryQueue?>(queue), NoPeers.Instance,
            new CopyRoom(long.MaxValue), clock);
        readers.Open();
        await readers.AnswerAsync(ReaderFrames.Attach(1, new ReaderOrigin(new HomeTarget("/", "q", 1), 0, 0, "i2")));
        await readers.AnswerAsync(ReaderFrames.Receive(1, 1, 1, TimeSpan.Zero));
        for (var i = 0; i < 4; i++)
        {
            clock.Advance(HomeReaders.Lifetime / 2);
            Assert.Equal(ReaderFrames.Done.ToArray(), (await readers.AnswerAsync(ReaderFrames.Settle(1, []))).ToArray());
        }
        Assert.Equal(1, (await queue.CountAllAsync()).Held);
        clock.Advance(HomeReaders.Lifetime);
        Assert.True(SpinWait.SpinUntil(() => queue.CountAllAsync().Result is { Ready: 1, Held: 0 }, Patience));
        Assert.Equal(ReaderFrames.Unknown.ToArray(), (await readers.AnswerAsync(ReaderFrames.Settle(1, []))).ToArray());
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task<string> RepeatAsync(HomeReader reader) => string.Join(", ", (await reader.ReceiveAsync(1, 2, Patience))!
        .Select(static one => $"{one.Delivery} {Encoding.UTF8.GetString(one.Held.Message.Body.Span)}"));

    // Nothing else refers to the messages afterwards.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task<(WeakReference First, WeakReference Second)> ReceiveAsync(MemoryQueue queue, HomeReader reader)
    {
        foreach (var text in new[] { "first", "second" })
            await queue.PublishAsync(Message(text));
        var received = (await reader.ReceiveAsync(1, 2, Patience))!;
        return (new WeakReference(received[0].Held.Message), new WeakReference(received[1].Held.Message));
    }

    private static HomeReader NewReader(MemoryQueue queue) => new(queue.Attach(0), new CopyRoom(long.MaxValue), TimeProvider.System);

    private MemoryQueue NewQueue(params (string Name, FieldValue Value)[] arguments) =>
        NewQueue(_letters, _memory, arguments);

    private static MemoryQueue NewQueue(Letters letters, MemoryBudget memory, params (string Name, FieldValue Value)[] arguments)
    {
        var state = new QueueState { Name = "q", Id = 1, Type = QueueType.Classic, Arguments = FieldTable.Of(arguments) };
        return new MemoryQueue(state, QueueSettings.Of(state, policy: null, limits: null), letters, TimeProvider.System, memory);
    }

    private static AmqpMessage Message(string body) => new("", "q", ContentProperties.None, System.Text.Encoding.UTF8.GetBytes(body), 0);

    private sealed class Letters : IDeadLetters
    {
        public List<AmqpMessage> All { get; } = [];

        public int Count
        {
            get
            {
                lock (All)
                    return All.Count;
            }
        }

        public Task<bool> Answer { get; init; } = Task.FromResult(true);

        public Task<bool> PublishAsync(AmqpMessage message, QueueState queue, QueueSettings settings, DeathReason reason,
            HashSet<long>? stored)
        {
            lock (All)
                All.Add(message);
            return Answer;
        }
    }

    // Each queue's letters go to the next.
    private sealed class Chain : IDeadLetters
    {
        private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public List<MemoryQueue> Queues { get; } = [];

        public Task Ended => _ended.Task;

        public async Task<bool> PublishAsync(AmqpMessage message, QueueState queue, QueueSettings settings, DeathReason reason,
            HashSet<long>? stored)
        {
            if (!RuntimeHelpers.TryEnsureSufficientExecutionStack())
                _ended.TrySetException(new InsufficientExecutionStackException());
            else if (queue.Id + 1 == Queues.Count)
                _ended.TrySetResult();
            else
                await Queues[(int)queue.Id + 1].PublishAsync(message with { IsDeadLetter = true });
            return true;
        }
    }
}
