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
            Assert.Equal([1], await AskAsync(ReaderFrames.Attach(reader, new ReaderOrigin(new HomeTarget("/", "q", 1), 0, 0, "i2"))));
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
    public async Task Messages_without_room_return_to_the_queue_and_another_call_has_them()
    {
        await PublishAsync(2);
        await ReceiveAsync(1, 1);
        var second = ReceiveAsync(2, 1);
        Assert.Equal(new QueueCounts(0, 2, 0, 2 * Bytes), await _queue.CountAllAsync());
        _clock.Advance(TimeSpan.FromSeconds(2));
        Assert.Equal([3], await second.WaitAsync(Patience));
        Assert.Equal(new QueueCounts(1, 1, Bytes, Bytes), await _queue.CountAllAsync());
        Assert.Equal(0, _room.Waiting);
        // The same call has the same answer.
        Assert.Equal([3], await ReceiveAsync(2, 1));
        await AskAsync(ReaderFrames.Of(ReaderFrames.GotKind, 1, 1));
        Assert.InRange((await ReceiveAsync(2, 2).WaitAsync(Patience)).Length, Bytes, Limit);
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

    private async Task PublishAsync(int count, int bytes = Bytes)
    {
        for (var i = 0; i < count; i++)
            Assert.Equal(PublishOutcome.Accepted, await _queue.PublishAsync(new AmqpMessage("", "q", ContentProperties.None,
                new byte[bytes], 0)));
    }

    private Task<byte[]> ReceiveAsync(long reader, long call) => AskAsync(ReaderFrames.Receive(reader, call, 1, TimeSpan.Zero));

    private async Task<byte[]> AskAsync(ReadOnlyMemory<byte> question) => (await _readers.AnswerAsync(question)).ToArray();

    private sealed class NoLetters : IDeadLetters
    {
        public Task<bool> PublishAsync(AmqpMessage message, QueueState queue, QueueSettings settings, DeathReason reason,
            HashSet<long>? stored) => Task.FromResult(true);
    }
}
