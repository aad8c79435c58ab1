using System.Collections.Concurrent;
using System.Text;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>Which messages to another broker's queues share a frame, and what each is answered.</summary>
public sealed class HomeLaneTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly HomeTarget Orders = new("/", "orders", 7);

    private readonly ConcurrentQueue<Frame> _frames = new();
    private readonly SemaphoreSlim _asked = new(0);
    private readonly ConcurrentQueue<string> _reports = new();
    private bool _hasEnded;

    [Fact]
    public async Task Messages_that_come_while_a_frame_is_on_its_way_share_the_next_in_their_order()
    {
        var lane = NewLane();
        var first = Add(lane, "a");
        var frame = await NextAsync();
        var others = new[] { Add(lane, "b"), Add(lane, "c"), Add(lane, "d") };
        Assert.False(first.IsCompleted);
        frame.Accept();
        Assert.Equal(PublishOutcome.Accepted, await first.WaitAsync(Patience));
        frame = await NextAsync();
        Assert.Equal(["b", "c", "d"], frame.Bodies);
        frame.Accept();
        Assert.All(await Task.WhenAll(others).WaitAsync(Patience), static outcome => Assert.Equal(PublishOutcome.Accepted, outcome));
    }

    [Fact]
    public async Task Outcome_is_that_of_the_own_message()
    {
        var lane = NewLane();
        _ = Add(lane, "first");
        var frame = await NextAsync();
        PublishOutcome[] outcomes = [PublishOutcome.Refused, PublishOutcome.Accepted, PublishOutcome.Gone, PublishOutcome.TooLarge];
        var publishes = outcomes.Select(outcome => Add(lane, $"{outcome}")).ToArray();
        frame.Accept();
        (await NextAsync()).Answer.SetResult(outcomes.Select(static outcome => (byte)outcome).ToArray());
        Assert.Equal(outcomes, await Task.WhenAll(publishes).WaitAsync(Patience));
    }

    [Fact]
    public async Task Frame_without_an_answer_is_unknown_and_is_not_sent_again()
    {
        var lane = NewLane();
        var first = Add(lane, "a");
        var frame = await NextAsync();
        var second = Add(lane, "b");
        frame.Answer.SetResult(null);
        Assert.Equal(PublishOutcome.Unknown, await first.WaitAsync(Patience));
        frame = await NextAsync();
        Assert.Equal(["b"], frame.Bodies);
        frame.Answer.SetException(new InvalidOperationException("A bug."));
        Assert.Equal(PublishOutcome.Unknown, await second.WaitAsync(Patience));
        var third = Add(lane, "c");
        frame = await NextAsync();
        // The number of outcomes is another one.
        frame.Answer.SetResult(new byte[] { 1, 1 });
        Assert.Equal(PublishOutcome.Unknown, await third.WaitAsync(Patience));
        Assert.Empty(_frames);
        Assert.Equal(3, _reports.Count);
    }

    [Fact]
    public async Task Home_that_takes_nothing_gets_the_same_frame_before_the_others()
    {
        var lane = NewLane();
        var first = Add(lane, "a");
        var senders = new HashSet<long>();
        for (var i = 0; i < 3; i++)
        {
            var frame = await NextAsync();
            Assert.Equal(["a"], frame.Bodies);
            // The home has seen the number before it took nothing.
            Assert.Equal(i + 1, frame.Origin.Number);
            senders.Add(frame.Origin.Sender);
            _ = Add(lane, $"{i}");
            if (i < 2)
                frame.Answer.SetResult(HomeFrames.Busy);
            else
                frame.Accept();
        }
        Assert.Equal(PublishOutcome.Accepted, await first.WaitAsync(Patience));
        Assert.Equal(["0", "1", "2"], (await NextAsync()).Bodies);
        Assert.Single(senders);
    }

    [Fact]
    public async Task Home_that_takes_nothing_for_long_leaves_the_messages_unknown()
    {
        var clock = new ManualClock();
        var asked = 0;
        var lane = new HomeLane(_ =>
        {
            Interlocked.Increment(ref asked);
            return Task.FromResult<ReadOnlyMemory<byte>?>(HomeFrames.Busy);
        }, static () => false, new BatchRoom(1 << 20), clock, _reports.Enqueue);
        var publish = Add(lane, "a");
        await clock.AdvanceUntilAsync(publish, TimeSpan.FromMinutes(1), TimeSpan.FromSeconds(1));
        Assert.Equal(PublishOutcome.Unknown, await publish);
        Assert.True(asked > 2, $"It was asked {asked} times.");
    }

    [Fact]
    public async Task Messages_that_have_waited_long_behind_a_frame_that_failed_are_not_sent()
    {
        var clock = new ManualClock();
        var lane = NewLane(clock: clock);
        var first = Add(lane, "a");
        var frame = await NextAsync();
        var second = Add(lane, "b");
        clock.Advance(HomeLane.MaxWait);
        var third = Add(lane, "c");
        frame.Answer.SetResult(null);
        Assert.Equal(PublishOutcome.Unknown, await first.WaitAsync(Patience));
        Assert.Equal(PublishOutcome.Unknown, await second.WaitAsync(Patience));
        frame = await NextAsync();
        Assert.Equal(["c"], frame.Bodies);
        frame.Accept();
        Assert.Equal(PublishOutcome.Accepted, await third.WaitAsync(Patience));
    }

    [Fact]
    public async Task Frames_are_bounded_in_messages_and_in_bytes_and_a_larger_message_goes_alone()
    {
        var lane = NewLane();
        _ = Add(lane, "first");
        var frame = await NextAsync();
        for (var i = 0; i < HomeLane.MaxMessages + 1; i++)
            _ = Add(lane, $"{i}");
        _ = (Add(lane, new string('x', HomeLane.MaxBytes)), Add(lane, "last"));
        var counts = new List<int>();
        for (var i = 0; i < 4; i++)
        {
            frame.Accept();
            frame = await NextAsync();
            counts.Add(frame.Bodies.Length);
        }
        Assert.Equal([HomeLane.MaxMessages, 1, 1, 1], counts);
        frame.Accept();
    }

    [Fact]
    public async Task Queues_of_a_home_that_has_ended_are_gone_without_a_question()
    {
        var lane = NewLane();
        var first = Add(lane, "a");
        var frame = await NextAsync();
        var second = Add(lane, "b");
        _hasEnded = true;
        frame.Answer.SetResult(null);
        Assert.Equal(PublishOutcome.Gone, await first.WaitAsync(Patience));
        Assert.Equal(PublishOutcome.Gone, await second.WaitAsync(Patience));
        Assert.Empty(_frames);
    }

    [Fact]
    public void Frame_has_all_of_its_messages()
    {
        var letter = new AmqpMessage("x", "k", ContentProperties.None.With(BasicProperty.DeliveryMode, [2]), new byte[] { 1, 2 }, 5)
        {
            IsDeadLetter = true,
        };
        var other = new HomeTarget("host", "other", -9);
        HomePublish[] publishes =
        [
            new(Orders, 3, letter), new(Orders, 3, Message("b")), new(Orders, 4, Message("c")), new(other, 4, Message("")),
        ];
        var read = HomeFrames.ReadPublishes(HomeFrames.Publishes((8, 9), publishes), now: 77);
        Assert.Equal(publishes.Select(static publish => (publish.Target, publish.Version)),
            read.Select(static publish => (publish.Target, publish.Version)));
        Assert.Equal((8L, 9L), HomeFrames.ReadOrigin(HomeFrames.Publishes((8, 9), publishes)));
        Assert.Same(read[0].Target, read[1].Target);
        Assert.All(publishes.Zip(read), static pair =>
        {
            var (sent, received) = (pair.First.Message, pair.Second.Message);
            Assert.Equal((sent.Exchange, sent.RoutingKey, sent.IsDeadLetter, 77L), (received.Exchange, received.RoutingKey,
                received.IsDeadLetter, received.Published));
            Assert.Equal(sent.Properties.Bytes.ToArray(), received.Properties.Bytes.ToArray());
            Assert.Equal(sent.Body.ToArray(), received.Body.ToArray());
        });
    }

    [Fact]
    public void Counts_and_a_queue_that_is_gone_are_read_from_answers()
    {
        var counts = new QueueCounts(1, 2, 3, 4);
        Assert.Equal((counts, 9), HomeFrames.ReadCounts(HomeFrames.Counts(counts, 9)));
        Assert.Throws<QueueGoneException>(() => HomeFrames.ReadCounts(HomeFrames.Gone));
        Assert.Equal(Orders, HomeFrames.ReadTarget(HomeFrames.Count(Orders)));
        Assert.Equal((Orders, 7), HomeFrames.ReadPurge(HomeFrames.Purge(Orders, 7)));
    }

    private static AmqpMessage Message(string body) => new("", "orders", ContentProperties.None, Encoding.UTF8.GetBytes(body), 1);

    private static Task<PublishOutcome> Add(HomeLane lane, string body) => lane.AddAsync(new HomePublish(Orders, 1, Message(body)));

    private HomeLane NewLane(TimeProvider? clock = null) => new(frame =>
    {
        var answer = new TaskCompletionSource<ReadOnlyMemory<byte>?>(TaskCreationOptions.RunContinuationsAsynchronously);
        _frames.Enqueue(new Frame(HomeFrames.ReadOrigin(frame), [.. HomeFrames.ReadPublishes(frame, 1).Select(static publish =>
            Encoding.UTF8.GetString(publish.Message.Body.Span))], answer));
        _asked.Release();
        return answer.Task;
    }, () => Volatile.Read(ref _hasEnded), new BatchRoom(1 << 30), clock ?? TimeProvider.System, _reports.Enqueue);

    private async Task<Frame> NextAsync()
    {
        Assert.True(await _asked.WaitAsync(Patience));
        Assert.True(_frames.TryDequeue(out var frame));
        return frame;
    }

    private sealed record Frame((long Sender, long Number) Origin, string[] Bodies, TaskCompletionSource<ReadOnlyMemory<byte>?> Answer)
    {
        public void Accept() => Answer.SetResult(Enumerable.Repeat((byte)PublishOutcome.Accepted, Bodies.Length).ToArray());
    }
}
