using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;

namespace OrleansMq.Tests.Amqp.Connections;

/// <summary>The commands of one channel.</summary>
public sealed class ChannelLaneTests
{
    [Fact]
    public async Task Command_waits_for_room_for_its_answer_and_the_end_for_none()
    {
        var owner = new Owner();
        var channel = new Channel();
        var state = new ChannelState(1);
        var lane = new ChannelLane(state, owner, _ => channel);
        Assert.True(lane.Add(new ConnectionAction(ActionKind.OpenChannel, state)));
        await lane.RunAsync();
        Assert.True(lane.Add(new ConnectionAction(ActionKind.Handle, state, new BasicGet("q", true))));
        var running = lane.RunAsync();
        Assert.Equal(0, channel.Handled);
        owner.MakeRoom();
        await running;
        Assert.Equal((1, 1), (channel.Handled, owner.Handled));
        // No room any more.
        owner.Fill();
        lane.Add(new ConnectionAction(ActionKind.EndChannel, state));
        await lane.RunAsync();
        Assert.True(owner.HasEnded);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Time_of_methods_is_charged_where_a_quota_limits_it(bool isLimited)
    {
        var owner = new Owner { ChargesTime = isLimited };
        owner.MakeRoom();
        var waits = new TaskCompletionSource();
        var channel = new Channel { Handling = waits.Task };
        var state = new ChannelState(1);
        var lane = new ChannelLane(state, owner, _ => channel);
        lane.Add(new ConnectionAction(ActionKind.OpenChannel, state));
        await lane.RunAsync();
        Assert.Equal(0, owner.Charged);
        lane.Add(new ConnectionAction(ActionKind.Handle, state, new BasicGet("q", true)));
        var running = lane.RunAsync();
        // It waits: the rest is not the client's.
        Assert.Equal((isLimited ? 1 : 0, 0), (owner.Charged, owner.Handled));
        waits.SetResult();
        await running;
        Assert.Equal((isLimited ? 1 : 0, 1), (owner.Charged, owner.Handled));
    }

    private sealed class Channel : IAmqpChannel
    {
        public Task Handling { get; init; } = Task.CompletedTask;

        public int Handled { get; private set; }

        public ValueTask OpenAsync() => default;

        public ValueTask HandleAsync(IMethod method, AmqpContent? content)
        {
            Handled++;
            return new ValueTask(Handling);
        }

        public ValueTask EndAsync() => default;

        public ChannelDescription Describe() => new();
    }

    private sealed class Owner : IChannelOwner
    {
        private TaskCompletionSource _room = new();

        public int Handled { get; private set; }

        public bool ChargesTime { get; init; }

        public int Charged { get; private set; }

        public bool HasEnded { get; private set; }

        public void MakeRoom() => _room.SetResult();

        public void Fill() => _room = new TaskCompletionSource();

        public Task WaitForRoomAsync() => _room.Task;

        public bool TryTake(ChannelLane lane, out ConnectionAction action) => lane.TryTake(out action);

        public void Opened(ChannelState channel)
        {
        }

        void IChannelOwner.Handled(int bytes) => Handled++;

        public void Charge(TimeSpan time)
        {
            Assert.True(time >= TimeSpan.Zero);
            Charged++;
        }

        public void Failed(ChannelState channel, AmqpException fault) => throw fault;

        public void Ended(ChannelState channel) => HasEnded = true;

        public void Send<T>(ChannelState channel, in T method)
            where T : IMethod
        {
        }

        public void Log(EngineLogLevel level, string message, Exception? fault = null) => throw new InvalidOperationException(message);
    }
}
