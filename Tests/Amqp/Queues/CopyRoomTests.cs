using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>Which copies of messages are under way, and how long a channel waits for that.</summary>
public sealed class CopyRoomTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly CopyRoom _room = new(limit: 100);

    [Fact]
    public void Copies_enter_in_their_order_where_they_fit()
    {
        var first = _room.EnterAsync(60);
        var (large, small) = (_room.EnterAsync(50), _room.EnterAsync(10));
        Assert.True(first.IsCompleted);
        // The small one would fit, and does not pass the large one.
        Assert.Equal((false, false, 2), (large.IsCompleted, small.IsCompleted, _room.Waiting));
        _room.Exit(60);
        Assert.Equal((true, true, 0), (large.IsCompleted, small.IsCompleted, _room.Waiting));
        Assert.Equal(60, _room.MostBytes);
    }

    [Fact]
    public void Copy_larger_than_the_limit_enters_alone()
    {
        Assert.True(_room.EnterAsync(1).IsCompleted);
        var huge = _room.EnterAsync(1_000);
        var next = _room.EnterAsync(1);
        Assert.False(huge.IsCompleted);
        _room.Exit(1);
        Assert.Equal((true, false), (huge.IsCompleted, next.IsCompleted));
        _room.Exit(1_000);
        Assert.True(next.IsCompleted);
    }

    [Fact]
    public void Copy_that_is_withdrawn_holds_back_none_behind_it()
    {
        Assert.True(_room.EnterAsync(60).IsCompleted);
        var (large, small) = (_room.EnterAsync(50), _room.EnterAsync(10));
        Assert.True(_room.TryWithdraw(large));
        Assert.Equal((false, true), (large.IsCompleted, small.IsCompleted));
        // It has come in: its bytes are given back by its exit.
        Assert.False(_room.TryWithdraw(small));
    }

    [Fact]
    public async Task Lane_encodes_a_batch_once_there_is_room_and_gives_it_back_also_where_the_store_fails()
    {
        var message = new AmqpMessage("", "q", ContentProperties.None, new byte[1_000], 1);
        var room = new BatchRoom(2 * message.Bytes);
        var stored = new List<TaskCompletionSource<PublishOutcome>>();
        var lanes = Enumerable.Range(0, 4).Select(_ => new PublishLane(async (batch, _) => (await batch.TryAsync(_ =>
        {
            var one = new TaskCompletionSource<PublishOutcome>(TaskCreationOptions.RunContinuationsAsynchronously);
            lock (stored)
                stored.Add(one);
            return new ValueTask<PublishOutcome>(one.Task);
        }))!.Value, room: room)).ToArray();
        var published = lanes.Select(lane => lane.AddAsync(message, null, null)).ToArray();
        Assert.Equal((2, 2), (stored.Count, room.Waiting));
        stored[0].SetException(new InvalidOperationException("A bug."));
        await Assert.ThrowsAsync<InvalidOperationException>(() => published[0].WaitAsync(Patience));
        await UntilAsync(() => room.Waiting == 1 && Count() == 3);
        stored[1].SetResult(PublishOutcome.Accepted);
        await UntilAsync(() => room.Waiting == 0 && Count() == 4);
        stored[2].SetResult(PublishOutcome.Accepted);
        stored[3].SetResult(PublishOutcome.Accepted);
        Assert.All(await Task.WhenAll(published[1..]).WaitAsync(Patience), static one => Assert.Equal(PublishOutcome.Accepted, one));
        Assert.Equal(2 * message.Bytes, room.MostBytes);

        int Count()
        {
            lock (stored)
                return stored.Count;
        }
    }

    [Fact]
    public async Task Channel_waits_as_long_as_it_takes_and_within_a_limit_once_it_ends()
    {
        var (clock, ending) = (new ManualClock(), new TaskCompletionSource());
        var patience = new ChannelPatience(ending.Task, TimeSpan.FromSeconds(5), clock);
        var (first, second, third) = (new TaskCompletionSource(), new TaskCompletionSource(), new TaskCompletionSource());
        var waiting = patience.WaitAsync(first.Task).AsTask();
        clock.Advance(TimeSpan.FromHours(1));
        Assert.False(waiting.IsCompleted);
        first.SetResult();
        Assert.True(await waiting.WaitAsync(Patience));
        ending.SetResult();
        // What moves is waited for.
        waiting = patience.WaitAsync(second.Task).AsTask();
        second.SetResult();
        Assert.True(await waiting.WaitAsync(Patience));
        waiting = patience.WaitAsync(third.Task).AsTask();
        await clock.AdvanceUntilAsync(waiting, TimeSpan.FromSeconds(25), ClockSteps.Small);
        Assert.False(await waiting);
        Assert.False(await patience.WaitAsync(third.Task).AsTask().WaitAsync(Patience));
        Assert.True(await patience.WaitAsync(Task.CompletedTask).AsTask().WaitAsync(Patience));
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        var deadline = DateTime.UtcNow + Patience;
        while (!condition())
        {
            Assert.True(DateTime.UtcNow < deadline, "It did not happen in time.");
            await Task.Delay(10);
        }
    }
}
