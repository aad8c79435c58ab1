using System.Net;
using OrleansMq.Gateways.Amqp;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Wire.Methods;

namespace OrleansMq.Tests.Amqp.Sockets;

/// <summary>A fault of the connection itself ends its channels and its session, and no more than the connection.</summary>
public sealed class FaultTests
{
    [Fact]
    public async Task Fault_of_the_reader_ends_channels_and_session()
    {
        var (access, log, clock) = (new TestAccess(), new RecordedLog(), new FaultyClock());
        await using var server = AmqpServer.Start(new IPEndPoint(IPAddress.Loopback, 0), new ConnectionSettings(), access, clock, log);
        await using var client = await OpenChannelAsync(server);
        clock.FailOnce();
        await client.SendAsync(1, new BasicGet("q", true));
        Assert.Null(await client.ReceiveAsync());
        Assert.Equal(["channel 1 ended", "session ended"], access.Events);
    }

    [Fact]
    public async Task Fault_of_the_timer_ends_the_connection_alone()
    {
        var (access, log, clock) = (new TestAccess(), new RecordedLog(), new FaultyClock());
        await using var server = AmqpServer.Start(new IPEndPoint(IPAddress.Loopback, 0), new ConnectionSettings(), access, clock, log);
        await using var client = await OpenChannelAsync(server);
        clock.FailOnce();
        clock.FireTimers();
        Assert.Contains(log.Lines, static line => line.StartsWith("Error: AMQP connection from", StringComparison.Ordinal)
            && line.Contains("A bug in OrleansMq ended it", StringComparison.Ordinal)
            && line.Contains(FaultyClock.Fault, StringComparison.Ordinal));
        await server.StopAsync(CancellationToken.None);
        Assert.Equal(["channel 1 ended", "session ended"], access.Events);
    }

    private static async Task<WireClient> OpenChannelAsync(AmqpServer server)
    {
        var client = await WireClient.OpenAsync(server.EndPoint);
        await client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        // The answer of a second command: nothing of the first is on its way any more.
        await client.SendAsync(1, new BasicGet("q", true));
        Assert.IsType<BasicGetEmpty>(await client.ReceiveMethodAsync());
        return client;
    }

    /// <summary>A clock whose timers fire when a test says so, and which fails where a connection asks it next.</summary>
    private sealed class FaultyClock : TimeProvider
    {
        public const string Fault = "the clock is broken";

        private readonly List<Action> _timers = [];
        private int _fails;

        public void FailOnce() => Volatile.Write(ref _fails, 1);

        public void FireTimers()
        {
            lock (_timers)
                _timers.ForEach(static fire => fire());
        }

        public override long GetTimestamp() => Interlocked.Exchange(ref _fails, 0) == 0 ? base.GetTimestamp()
            : throw new InvalidOperationException(Fault);

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            if (state is AmqpConnection)
            {
                lock (_timers)
                    _timers.Add(() => callback(state));
            }
            return new Idle();
        }

        private sealed class Idle : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period) => true;

            public void Dispose()
            {
            }

            public ValueTask DisposeAsync() => default;
        }
    }
}
