using System.Diagnostics;
using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Hosting;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>The room for large answers of a home to the readers of other brokers.</summary>
public sealed class HomeReadersTests : IAsyncLifetime
{
    private const int Bytes = 100_000;
    private const int Limit = 150_000;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly ManualClock _clock = new();
    private readonly CopyRoom _room = new(Limit);
    private readonly MemoryQueue _queue;
    private readonly HomeReaders _readers;

    public HomeReadersTests()
    {
        var state = new QueueState { Name = "q", Id = 1, Type = QueueType.Classic };
        _queue = new MemoryQueue(state, QueueSettings.Of(state, policy: null, limits: null), new NoLetters(), TimeProvider.System,
            new MemoryBudget(1 << 30));
        _readers = new HomeReaders((_, _) => Task.FromResult<MemoryQueue?>(_queue), NoPeers.Instance, _room, _clock);
    }

    public async Task InitializeAsync()
    {
        _readers.Open();
        for (var reader = 1; reader <= 2; reader++)
            Assert.Equal([1, 1], await AttachAsync(reader));
    }

    public async Task DisposeAsync()
    {
        _readers.Dispose();
        await _queue.DisposeAsync();
    }

    [Fact]
    public async Task Answer_waits_until_there_is_room()
    {
        await PublishAsync(2);
        var first = await ReceiveAsync(1, 1);
        Assert.Equal((byte)1, first[0]);
        Assert.InRange(first.Length, Bytes, Limit);
        var second = ReceiveAsync(2, 1);
        Assert.Equal((false, 1), (second.IsCompleted, _room.Waiting));
        Assert.Equal([1], await AskAsync(ReaderFrames.Of(ReaderFrames.GotKind, 1, 1)));
        Assert.InRange((await second.WaitAsync(Patience)).Length, Bytes, Limit);
        Assert.InRange(_room.MostBytes, Bytes, Limit);
    }

    [Fact]
    public async Task Small_answers_need_no_room()
    {
        await PublishAsync(1);
        await ReceiveAsync(1, 1);
        await PublishAsync(1, ReaderFrames.SmallBytes / 2);
        Assert.InRange((await ReceiveAsync(2, 1).WaitAsync(Patience)).Length, ReaderFrames.SmallBytes / 2, ReaderFrames.SmallBytes);
    }

    [Fact]
    public async Task Message_larger_than_the_room_comes_alone()
    {
        await PublishAsync(2, 2 * Limit);
        Assert.InRange((await ReceiveAsync(1, 1)).Length, 2 * Limit, 3 * Limit);
        var second = ReceiveAsync(2, 1);
        Assert.False(second.IsCompleted);
        await AskAsync(ReaderFrames.Of(ReaderFrames.GotKind, 1, 1));
        Assert.InRange((await second.WaitAsync(Patience)).Length, 2 * Limit, 3 * Limit);
    }

    [Theory]
    [InlineData("next call")]
    [InlineData("end")]
    [InlineData("time")]
    public async Task Room_of_an_answer_that_is_not_known_to_have_come_is_given_back(string by)
    {
        await PublishAsync(1);
        await ReceiveAsync(1, 1);
        var entry = _room.EnterAsync(Limit);
        Assert.False(entry.IsCompleted);
        if (by == "next call")
            await ReceiveAsync(1, 2);
        else if (by == "end")
            await AskAsync(ReaderFrames.Of(ReaderFrames.EndKind, 1));
        else
            _clock.Advance(HomeReaders.AnswerTime + TimeSpan.FromSeconds(1));
        await entry.WaitAsync(Patience);
        // Once.
        await AskAsync(ReaderFrames.Of(ReaderFrames.GotKind, 1, 1));
        await AskAsync(ReaderFrames.Of(ReaderFrames.EndKind, 1));
        Assert.False(_room.EnterAsync(1).IsCompleted);
    }

    [Fact]
    public async Task Message_without_room_keeps_its_place_until_another_call_has_it()
    {
        await PublishAsync(3);
        await ReceiveAsync(1, 1);
        var second = ReceiveAsync(2, 1);
        Assert.Equal(new QueueCounts(1, 2, Bytes, 2 * Bytes), await _queue.CountAllAsync());
        _clock.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal([3], await second.WaitAsync(Patience));
        // The same call has the same answer.
        Assert.Equal([3], await ReceiveAsync(2, 1));
        Assert.Equal((new QueueCounts(1, 2, Bytes, 2 * Bytes), 1), (await _queue.CountAllAsync(), _room.Waiting));
        await AskAsync(ReaderFrames.Of(ReaderFrames.GotKind, 1, 1));
        // Another one comes behind it.
        Assert.False(_room.TryEnter(Bytes));
        AssertHas(await ReceiveAsync(2, 2, max: 5).WaitAsync(Patience), 1);
        Assert.Equal(new QueueCounts(1, 2, Bytes, 2 * Bytes), await _queue.CountAllAsync());
        Assert.InRange(_room.MostBytes, Bytes, Limit);
    }

    [Fact]
    public async Task Small_messages_are_answered_while_larger_ones_behind_them_wait_for_room()
    {
        await PublishAsync(1);
        await ReceiveAsync(1, 1);
        await PublishAsync(1, ReaderFrames.SmallBytes / 2);
        await PublishAsync(1, ReaderFrames.SmallBytes / 3);
        await PublishAsync(2);
        await PublishAsync(1, 10);
        AssertHas(await ReceiveAsync(2, 1, max: 4).WaitAsync(Patience), 1, 2);
        Assert.Equal((0, new QueueCounts(1, 5, 10, (3 * Bytes) + (ReaderFrames.SmallBytes / 2) + (ReaderFrames.SmallBytes / 3))),
            (_room.Waiting, await _queue.CountAllAsync()));
        var next = ReceiveAsync(2, 2, max: 4);
        Assert.Equal((false, 1), (next.IsCompleted, _room.Waiting));
        await AskAsync(ReaderFrames.Of(ReaderFrames.GotKind, 1, 1));
        // Alone: there was no room for both.
        AssertHas(await next.WaitAsync(Patience), 3);
        await AskAsync(ReaderFrames.Of(ReaderFrames.GotKind, 2, 2));
        AssertHas(await ReceiveAsync(2, 3, max: 4).WaitAsync(Patience), 4);
        AssertHas(await ReceiveAsync(2, 4, max: 4).WaitAsync(Patience), 5);
        Assert.Equal(0, (await _queue.CountAllAsync()).Ready);
    }

    [Theory]
    [InlineData("time")]
    [InlineData("turn")]
    [InlineData("end")]
    public async Task Messages_that_wait_for_a_call_return_to_the_queue(string by)
    {
        await PublishAsync(3);
        await ReceiveAsync(1, 1);
        await PublishAsync(1, 10);
        await AssertHasNoRoomAsync(2, 1, max: 5);
        Assert.Equal((new QueueCounts(0, 4, 0, (3 * Bytes) + 10), 1), (await _queue.CountAllAsync(), _room.Waiting));
        if (by == "time")
            _clock.Advance(HomeReaders.AnswerTime + TimeSpan.FromSeconds(1));
        else
            await AskAsync(ReaderFrames.Of(by == "turn" ? ReaderFrames.YieldKind : ReaderFrames.EndKind, 2));
        Assert.True(SpinWait.SpinUntil(() => _queue.CountAllAsync().Result is { Ready: 3, Held: 1 } && _room.Waiting == 0, Patience));
        // Each once.
        Assert.Equal([1], await AskAsync(ReaderFrames.Of(ReaderFrames.GotKind, 1, 1)));
        foreach (var (call, delivery) in new[] { (2, 2), (3, 3), (4, 4) })
            AssertHas(await ReceiveAsync(1, call).WaitAsync(Patience), delivery);
        Assert.Equal([1], await ReceiveAsync(1, 5));
    }

    [Fact]
    public async Task Place_of_a_reader_that_ends_is_given_up_also_where_it_has_become_room()
    {
        await PublishAsync(2);
        await ReceiveAsync(1, 1);
        await AssertHasNoRoomAsync(2, 1);
        await AskAsync(ReaderFrames.Of(ReaderFrames.GotKind, 1, 1));
        var all = _room.EnterAsync(Limit);
        Assert.False(all.IsCompleted);
        await AskAsync(ReaderFrames.Of(ReaderFrames.EndKind, 2));
        await all.WaitAsync(Patience);
    }

    [Fact]
    public async Task Place_that_has_become_room_is_given_up_soon_where_no_call_comes()
    {
        await PublishAsync(2);
        await ReceiveAsync(1, 1);
        await AssertHasNoRoomAsync(2, 1);
        _clock.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(1, _room.Waiting);
        var all = _room.EnterAsync(Limit);
        await AskAsync(ReaderFrames.Of(ReaderFrames.GotKind, 1, 1));
        Assert.False(all.IsCompleted);
        _clock.Advance(TimeSpan.FromSeconds(1));
        await all.WaitAsync(Patience);
        Assert.Equal(new QueueCounts(1, 1, Bytes, Bytes), await _queue.CountAllAsync());
    }

    [Fact]
    public async Task Place_that_has_become_room_is_kept_for_a_reader_whose_answers_are_long_on_their_way()
    {
        await PublishAsync(2);
        await ReceiveAsync(1, 1);
        foreach (var call in (int[])[1, 2])
        {
            await AssertHasNoRoomAsync(2, call);
            _clock.Advance(TimeSpan.FromSeconds(3));
        }
        await AskAsync(ReaderFrames.Of(ReaderFrames.GotKind, 1, 1));
        _clock.Advance(TimeSpan.FromSeconds(1));
        AssertHas(await ReceiveAsync(2, 3).WaitAsync(Patience), 1);
    }

    [Fact]
    public async Task Reader_that_did_not_call_for_long_keeps_no_place_for_longer()
    {
        await _room.EnterAsync(Limit);
        await PublishAsync(1);
        for (var call = 1; call <= 2; call++)
        {
            await AssertHasNoRoomAsync(2, call);
            if (call == 1)
                _clock.Advance(TimeSpan.FromSeconds(8));
        }
        var all = _room.EnterAsync(Limit);
        _room.Exit(Limit);
        Assert.False(all.IsCompleted);
        _clock.Advance(TimeSpan.FromSeconds(1));
        await all.WaitAsync(Patience);
    }

    [Fact]
    public async Task Reader_of_an_earlier_build_has_all_without_room()
    {
        Assert.Equal([1], await AttachAsync(3, tellsGot: false));
        await PublishAsync(4);
        await ReceiveAsync(1, 1);
        var used = _room.MostBytes;
        AssertHas(await ReceiveAsync(3, 1, max: 5).WaitAsync(Patience), 1, 2, 3);
        AssertHas(await ReceiveAsync(3, 1, max: 5).WaitAsync(Patience), 1, 2, 3);
        Assert.Equal((used, 0), (_room.MostBytes, _room.Waiting));
        await AskAsync(ReaderFrames.Of(ReaderFrames.EndKind, 3));
        Assert.Equal(3, (await _queue.CountAllAsync()).Ready);
    }

    [Theory]
    [InlineData(ReaderFrames.StopKind, (byte)3)]
    [InlineData(ReaderFrames.EndKind, (byte)2)]
    public async Task Receive_that_waits_for_room_is_answered_as_it_is_stopped_and_as_its_reader_ends(byte kind, byte answer)
    {
        await PublishAsync(2);
        await ReceiveAsync(1, 1);
        var second = ReceiveAsync(2, 1);
        Assert.Equal([1], await AskAsync(kind == ReaderFrames.StopKind ? ReaderFrames.Of(kind, 2, 1) : ReaderFrames.Of(kind, 2)));
        Assert.Equal([answer], await second.WaitAsync(Patience));
        Assert.Equal(new QueueCounts(1, 1, Bytes, Bytes), await _queue.CountAllAsync());
        Assert.Equal(0, _room.Waiting);
    }

    [Fact]
    public async Task Receive_that_comes_behind_its_stop_keeps_no_messages()
    {
        await PublishAsync(2);
        await ReceiveAsync(1, 1);
        await AskAsync(ReaderFrames.Of(ReaderFrames.StopKind, 2, 1));
        Assert.Equal([3], await ReceiveAsync(2, 1).WaitAsync(Patience));
        Assert.Equal((new QueueCounts(1, 1, Bytes, Bytes), 0), (await _queue.CountAllAsync(), _room.Waiting));
    }

    [Fact]
    public async Task Stop_behind_the_answer_returns_the_messages_that_wait()
    {
        await PublishAsync(2);
        await ReceiveAsync(1, 1);
        await AssertHasNoRoomAsync(2, 1);
        await AskAsync(ReaderFrames.Of(ReaderFrames.StopKind, 2, 1));
        Assert.Equal((new QueueCounts(1, 1, Bytes, Bytes), 0), (await _queue.CountAllAsync(), _room.Waiting));
    }

    [Fact]
    public async Task Call_that_comes_again_has_its_answer_in_the_room_of_the_first_and_none_once_that_has_come()
    {
        await PublishAsync(2);
        var answer = await ReceiveAsync(1, 1);
        var other = ReceiveAsync(2, 1);
        Assert.Equal(answer, await ReceiveAsync(1, 1).WaitAsync(Patience));
        Assert.InRange(_room.MostBytes, Bytes, Limit);
        await AskAsync(ReaderFrames.Of(ReaderFrames.GotKind, 1, 1));
        await other.WaitAsync(Patience);
        Assert.Equal([1], await ReceiveAsync(1, 1).WaitAsync(Patience));
    }

    [Fact]
    public async Task Call_that_comes_again_without_room_has_no_answer_and_keeps_its_messages()
    {
        await PublishAsync(1);
        var answer = await ReceiveAsync(1, 1);
        _clock.Advance(HomeReaders.AnswerTime + TimeSpan.FromSeconds(1));
        await _room.EnterAsync(Limit).WaitAsync(Patience);
        var again = ReceiveAsync(1, 1);
        _clock.Advance(TimeSpan.FromSeconds(2));
        await Assert.ThrowsAsync<TimeoutException>(() => again.WaitAsync(Patience));
        Assert.Equal(1, (await _queue.CountAllAsync()).Held);
        _room.Exit(Limit);
        Assert.Equal(answer, await ReceiveAsync(1, 1).WaitAsync(Patience));
    }

    [Fact]
    public async Task Call_that_comes_again_behind_a_later_one_leaves_that_its_room()
    {
        await PublishAsync(1);
        await ReceiveAsync(1, 1);
        _clock.Advance(HomeReaders.AnswerTime + TimeSpan.FromSeconds(1));
        await _room.EnterAsync(Limit).WaitAsync(Patience);
        var again = ReceiveAsync(1, 1);
        Assert.Equal(1, _room.Waiting);
        Assert.Equal([1], await ReceiveAsync(1, 2));
        _room.Exit(Limit);
        await Assert.ThrowsAsync<TimeoutException>(() => again.WaitAsync(Patience));
        Assert.True(_room.TryEnter(Limit));
    }

    /// <summary>Readers call, repeat, stop, tell, fall silent and end as they like. Each message is accepted once, none is missing, and all
    /// of the room is free at the end.</summary>
    [Fact]
    public async Task Random_readers_accept_each_message_once()
    {
        var seed = Seeds.Next();
        try
        {
            for (var run = 0; run < 50; run++)
                await new HomeReadersTests().PlayAsync(new Random(unchecked(seed + run)));
        }
        catch (Exception fault)
        {
            throw new InvalidOperationException(Seeds.Replay(seed, nameof(Random_readers_accept_each_message_once)), fault);
        }
    }

    private async Task PlayAsync(Random random)
    {
        const int Messages = 60;
        _readers.Open();
        var players = new List<Player>();
        var accepted = new Dictionary<long, int>();
        var published = 0;
        var nextReader = 10L;
        for (var began = Stopwatch.GetTimestamp(); accepted.Count < Messages; await Task.Yield())
        {
            Assert.True(Stopwatch.GetElapsedTime(began) < Patience, $"Only {accepted.Count} messages are accepted.");
            if (published < Messages && random.Next(3) == 0)
            {
                await PublishAsync(1, random.Next(2) == 0 ? random.Next(10, ReaderFrames.SmallBytes)
                    : random.Next(Limit / 4, Limit * 5 / 4));
                published++;
            }
            if (players.Count < 4)
            {
                players.Add(new Player(nextReader));
                Assert.Equal([1, 1], await AttachAsync(nextReader++));
            }
            await StepAsync(players[random.Next(players.Count)]);
            if (random.Next(4) == 0)
                _clock.Advance(TimeSpan.FromMilliseconds(random.Next(3000)));
        }
        Assert.All(accepted.Values, static times => Assert.Equal(1, times));
        foreach (var player in players)
            await AskAsync(ReaderFrames.Of(ReaderFrames.EndKind, player.Reader));
        Assert.Equal(new QueueCounts(0, 0, 0, 0), await _queue.CountAllAsync());
        Assert.True(_room.TryEnter(Limit));
        await DisposeAsync();

        async Task StepAsync(Player player)
        {
            switch (random.Next(10))
            {
                case 0:
                    await EndAsync(player);
                    break;
                case 1 when player.Asking is not null:
                    await AskAsync(ReaderFrames.Of(ReaderFrames.StopKind, player.Reader, player.Call));
                    break;
                case 2 when player.Asking is null:
                    await AskAsync(ReaderFrames.Of(ReaderFrames.YieldKind, player.Reader));
                    break;
                case 3 when player.Call > 0:
                    // The answer is lost, and asked for again.
                    player.Asking = CallAsync(player);
                    break;
                case 4 when player is { Asking: null, Call: > 0 }:
                    await AskAsync(ReaderFrames.Of(ReaderFrames.GotKind, player.Reader, player.Call));
                    break;
                default:
                    await CallOrTakeAsync(player);
                    break;
            }
        }

        async Task CallOrTakeAsync(Player player)
        {
            if (player.Asking is null)
            {
                (player.Call, player.Max) = (player.Call + 1, random.Next(1, 6));
                player.Asking = CallAsync(player);
            }
            if (!player.Asking.IsCompleted)
                return;
            var answer = await player.Asking;
            player.Asking = null;
            if (answer is [])
                await EndAsync(player);
            if (answer is not [1, ..])
                return;
            var settlements = new List<(long, Settlement)>();
            foreach (var (delivery, held) in ReaderFrames.ReadMessages(answer))
            {
                var isAccepted = random.Next(3) > 0;
                settlements.Add((delivery, isAccepted ? Settlement.Accept : Settlement.Return));
                if (isAccepted)
                    accepted[held.Hold.Position] = accepted.GetValueOrDefault(held.Hold.Position) + 1;
            }
            Assert.InRange(settlements.Count, 0, player.Max);
            Assert.Equal([1], await AskAsync(ReaderFrames.Settle(player.Reader, settlements)));
        }

        async Task EndAsync(Player player)
        {
            await AskAsync(ReaderFrames.Of(ReaderFrames.EndKind, player.Reader));
            players.Remove(player);
        }

        // A call has no answer where there is no room to answer it again.
        async Task<byte[]> CallAsync(Player player)
        {
            try
            {
                return await AskAsync(ReaderFrames.Receive(player.Reader, player.Call, player.Max, TimeSpan.Zero));
            }
            catch (TimeoutException)
            {
                return [];
            }
        }
    }

    private sealed class Player(long reader)
    {
        public long Reader => reader;

        public long Call { get; set; }

        public int Max { get; set; }

        public Task<byte[]>? Asking { get; set; }
    }

    private Task<byte[]> AttachAsync(long reader, bool tellsGot = true) =>
        AskAsync(ReaderFrames.Attach(reader, new ReaderOrigin(new HomeTarget("/", "q", 1), 0, 0, "i2", tellsGot)));

    // The call waits for room as long as it may.
    private async Task AssertHasNoRoomAsync(long reader, long call, int max = 1)
    {
        var receiving = ReceiveAsync(reader, call, max);
        _clock.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal([3], await receiving.WaitAsync(Patience));
    }

    private static void AssertHas(byte[] answer, params long[] deliveries) =>
        Assert.Equal(deliveries, ReaderFrames.ReadMessages(answer).Select(static one => one.Delivery));

    private async Task PublishAsync(int count, int bytes = Bytes)
    {
        for (var i = 0; i < count; i++)
            Assert.Equal(PublishOutcome.Accepted, await _queue.PublishAsync(new AmqpMessage("", "q", ContentProperties.None,
                new byte[bytes], 0)));
    }

    private Task<byte[]> ReceiveAsync(long reader, long call, int max = 1) =>
        AskAsync(ReaderFrames.Receive(reader, call, max, TimeSpan.Zero));

    private async Task<byte[]> AskAsync(ReadOnlyMemory<byte> question) => (await _readers.AnswerAsync(question)).ToArray();

    private sealed class NoLetters : IDeadLetters
    {
        public Task<bool> PublishAsync(AmqpMessage message, QueueState queue, QueueSettings settings, DeathReason reason,
            HashSet<long>? stored) => Task.FromResult(true);
    }
}
