using OrleansMq.Gateways.Amqp.Channels;

namespace OrleansMq.Tests.Amqp.Channels;

/// <summary>What the channels of a connection may receive before they have delivered the rest, and what they keep.</summary>
public sealed class DeliveryRoomTests
{
    private static readonly Task Never = new TaskCompletionSource().Task;

    private readonly DeliveryRoom _room = new();

    [Fact]
    public async Task Receive_waits_while_the_connection_holds_more_than_the_bound()
    {
        Assert.True(await Enter());
        _room.Received(DeliveryRoom.MaxBytes);
        var next = Enter();
        Assert.False(next.IsCompleted);
        Assert.True(_room.IsScarce);
        _room.Left(DeliveryRoom.Share);
        Assert.True(await next.WaitAsync(TimeSpan.FromSeconds(60)));
        Assert.False(_room.IsScarce);
    }

    [Fact]
    public async Task Message_of_any_size_gets_through_and_is_the_only_one_then()
    {
        Assert.True(await Enter());
        _room.Received(10 * DeliveryRoom.MaxBytes);
        var next = Enter();
        Assert.False(next.IsCompleted);
        _room.Left(10 * DeliveryRoom.MaxBytes);
        Assert.True(await next.WaitAsync(TimeSpan.FromSeconds(60)));
    }

    [Fact]
    public async Task Some_receives_find_at_a_time_how_much_there_is_and_idle_ones_hold_no_room()
    {
        for (var i = 0; i < DeliveryRoom.MaxBytes / DeliveryRoom.Share; i++)
            Assert.True(await Enter());
        var next = Enter();
        Assert.False(next.IsCompleted);
        _room.Idles();
        Assert.True(await next.WaitAsync(TimeSpan.FromSeconds(60)));
    }

    [Fact]
    public async Task Idle_receives_are_cancelled_when_the_room_becomes_full()
    {
        Assert.True(await Enter());
        _room.Idles();
        var idle = _room.Full;
        Assert.True(_room.TryReceive(DeliveryRoom.MaxBytes - 1));
        Assert.False(idle.IsCancellationRequested);
        var cancelled = new TaskCompletionSource();
        await using var registration = idle.Register(() => cancelled.SetResult());
        // What does not fit goes back.
        Assert.False(_room.TryReceive(2));
        await cancelled.Task.WaitAsync(TimeSpan.FromSeconds(60));
        Assert.True(_room.TryReceive(1));
        Assert.Equal(DeliveryRoom.MaxBytes, _room.MostBytes);
        Assert.False(_room.Full.IsCancellationRequested);
    }

    [Fact]
    public async Task Wait_that_is_given_up_holds_no_room()
    {
        Assert.True(await Enter());
        _room.Received(DeliveryRoom.MaxBytes);
        Assert.False(await _room.EnterAsync(Task.CompletedTask));
        _room.Left(DeliveryRoom.MaxBytes);
        Assert.Equal(DeliveryRoom.MaxBytes, _room.MostBytes);
        for (var i = 0; i < DeliveryRoom.MaxBytes / DeliveryRoom.Share; i++)
            Assert.True(await Enter());
    }

    [Fact]
    public void Message_is_kept_where_it_fits_and_counts_until_it_is_given_back_once()
    {
        var kept = new KeptBytes(100);
        Assert.Equal((true, false, true), (kept.TryKeep(60), kept.TryKeep(50), kept.TryKeep(40)));
        Assert.Equal(100, kept.Used);
        var delivery = new Delivery(1, new(0, 0), null, null!, null!, null, 0, 60, isCounted: true);
        kept.Return(delivery.TakeKept());
        kept.Return(delivery.TakeKept());
        Assert.Equal(40, kept.Used);
    }

    private Task<bool> Enter() => _room.EnterAsync(Never).AsTask();
}
