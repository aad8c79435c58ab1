using System.Net;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Tests.Amqp.Broker;
using OrleansMq.Tests.Amqp.Sockets;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>What queues that expire, and consumers with a timeout, cost while nothing is due.</summary>
public sealed class QueueExpiryTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("omq-expiry").FullName;
    private readonly ManualClock _clock = new();
    private readonly PeriodClock _time;

    public QueueExpiryTests() => _time = new PeriodClock(_clock);

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Short_times_take_no_periodic_timers_and_a_queue_expires_after_its_last_consumer()
    {
        var gateway = await RunningGateway.StartAsync(_directory, configure: options => options with { TimeProvider = _time });
        await using var client = await WireClient.OpenAsync(new IPEndPoint(IPAddress.Loopback, gateway.Port), heartbeat: 0);
        await client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        await client.SendAsync(1, new QueueDeclare("q", false, false, false, false, false,
            FieldTable.Of(("x-expires", FieldValue.Of(20L)), ("x-consumer-timeout", FieldValue.Of(80L)))));
        Assert.IsType<QueueDeclareOk>(await client.ReceiveMethodAsync());
        await client.SendAsync(1, new BasicConsume("q", "c", false, false, false, false, default));
        Assert.IsType<BasicConsumeOk>(await client.ReceiveMethodAsync());
        await client.PublishAsync(1, "m"u8.ToArray());
        Assert.IsType<BasicDeliver>(await client.ReceiveMethodAsync());
        await client.ReceiveBodyAsync();
        await client.SendAsync(1, new BasicAck(1, false));
        // The channel has taken the acknowledgement then.
        await client.SendAsync(1, new QueueDeclare("q", true, false, false, false, false, default));
        Assert.IsType<QueueDeclareOk>(await client.ReceiveMethodAsync());
        Assert.Equal(0, _time.ShortPeriods);
        // What it was armed for has passed: it has consumers.
        _clock.Advance(TimeSpan.FromHours(1));
        var hosts = await gateway.Broker.OpenVirtualHostsAsync();
        Assert.NotNull(hosts.Find("/")!.Topology.FindQueue("q"));
        await client.SendAsync(1, new BasicCancel("c", false));
        Assert.IsType<BasicCancelOk>(await client.ReceiveMethodAsync());
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        await _clock.AdvanceUntilAsync(Task.Run(async () =>
        {
            while (hosts.Find("/")!.Topology.FindQueue("q") is not null)
                await Task.Delay(10, patience.Token);
        }), TimeSpan.FromSeconds(60));
        Assert.Equal(0, _time.ShortPeriods);
        await _clock.AdvanceUntilAsync(gateway.DisposeAsync().AsTask(), TimeSpan.FromMinutes(10));
    }

    // Counts timers that fire more often than once a second.
    private sealed class PeriodClock(ManualClock clock) : TimeProvider
    {
        private int _shortPeriods;

        public int ShortPeriods => Volatile.Read(ref _shortPeriods);

        public override long TimestampFrequency => clock.TimestampFrequency;

        public override long GetTimestamp() => clock.GetTimestamp();

        public override DateTimeOffset GetUtcNow() => clock.GetUtcNow();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            if (period > TimeSpan.Zero && period < TimeSpan.FromSeconds(1))
                Interlocked.Increment(ref _shortPeriods);
            return clock.CreateTimer(callback, state, dueTime, period);
        }
    }
}
