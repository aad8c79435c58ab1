using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Channels;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;

namespace OrleansMq.Tests.Amqp.Connections;

/// <summary>Which outcomes of publishes share an ack, and what a slow one costs the others.</summary>
public sealed class ConfirmWindowTests
{
    private readonly ConfirmWindow _window = new();
    private readonly Client _client = new();

    [Fact]
    public void All_below_the_first_that_is_open_or_refused_share_an_ack()
    {
        Publish(10);
        Complete(2, 3, 6);
        Report(new BasicAck(2, false), new BasicAck(3, false), new BasicAck(6, false));
        Assert.True(_window.Complete(4, isAccepted: true));
        Assert.False(_window.Complete(1, isAccepted: true));
        Assert.False(_window.Complete(7, isAccepted: false));
        Assert.False(_window.Complete(8, isAccepted: true));
        Report(new BasicAck(4, true), new BasicNack(7, false, false), new BasicAck(8, false));
        Assert.Equal(3, _window.Open);
        Complete(5, 9, 10);
        Report(new BasicAck(10, true));
        Assert.Equal(0, _window.Open);
    }

    [Fact]
    public void Slow_publish_does_not_make_each_of_the_others_cost_more()
    {
        const int Count = 20_000;
        Publish(Count);
        var output = new ChannelOutput(_client, EngineLog.Silent);
        long allocated = 0;
        // The first one stays open.
        for (var tag = 2; tag <= Count; tag++)
        {
            _window.Complete((ulong)tag, isAccepted: true);
            var before = GC.GetAllocatedBytesForCurrentThread();
            _window.Report(output);
            allocated += GC.GetAllocatedBytesForCurrentThread() - before;
        }
        // A copy of what was reported before would be 100,000 bytes for each, on average.
        Assert.InRange(allocated / Count, 0, 2000);
        Assert.Equal(1, _window.Open);
    }

    private void Publish(int count)
    {
        for (var tag = 1; tag <= count; tag++)
            Assert.Equal((ulong)tag, _window.Next());
    }

    private void Complete(params ulong[] tags)
    {
        foreach (var tag in tags)
            _window.Complete(tag, isAccepted: true);
    }

    private void Report(params IMethod[] expected)
    {
        var output = new ChannelOutput(_client, EngineLog.Silent);
        _window.Report(output);
        _client.Sent.Clear();
        output.Flush();
        Assert.Equal(expected, _client.Sent);
    }

    private sealed class Client : IChannelClient
    {
        public List<IMethod> Sent { get; } = [];

        public ushort Number => 1;

        AmqpClient IChannelClient.Client => throw new NotSupportedException();

        public bool IsFull => false;

        public bool CanDeliver => true;

        public Task Ending => Task.CompletedTask;

        public void Send<T>(in T method)
            where T : IMethod => Sent.Add(method);

        public void Send<T>(in T method, ContentProperties properties, ReadOnlySpan<byte> body)
            where T : IMethod => Sent.Add(method);

        public void Hold()
        {
        }

        public void Release()
        {
        }

        public Task WaitForRoomAsync() => Task.CompletedTask;

        public void Fail(AmqpException fault) => throw fault;
    }
}
