using System.Net;
using OrleansMq.Api;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Tests.Amqp.Broker;
using OrleansMq.Tests.Amqp.Sockets;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>What expires at the head of a queue while a consumer holds messages of it.</summary>
public sealed class DeadLetterWatchTests : IAsyncLifetime
{
    private static readonly ContentProperties ExpiresInAMinute = ContentProperties.None.With(BasicProperty.Expiration,
        [5, .. "60000"u8]);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-watch").FullName;
    private readonly ManualClock _clock = new();
    private RunningGateway _gateway = null!;
    private WireClient _client = null!;
    private int _attached;
    private int _looks;

    public async Task InitializeAsync()
    {
        _clock.Ahead = DateTimeOffset.UtcNow - _clock.GetUtcNow();
        _gateway = await RunningGateway.StartAsync(_directory, configure: options => options with { TimeProvider = _clock },
            engine: inner =>
            {
                var broker = new ScriptedBroker(inner);
                broker.Script.Called = Count;
                return broker;
            });
        _client = await WireClient.OpenAsync(new IPEndPoint(IPAddress.Loopback, _gateway.Port));
        await _client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await _client.ReceiveMethodAsync());
    }

    public async Task DisposeAsync()
    {
        await _client.DisposeAsync();
        await _clock.AdvanceUntilAsync(_gateway.DisposeAsync().AsTask(), TimeSpan.FromMinutes(10));
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Message_behind_one_that_expired_in_a_consumers_hands_is_not_touched()
    {
        await _client.SendAsync(1, new QueueDeclare("letters", false, true, false, false, false, default));
        Assert.IsType<QueueDeclareOk>(await _client.ReceiveMethodAsync());
        await _client.SendAsync(1, new QueueDeclare("q", false, true, false, false, false, FieldTable.Of(
            ("x-dead-letter-exchange", FieldValue.Of("")), ("x-dead-letter-routing-key", FieldValue.Of("letters")))));
        Assert.IsType<QueueDeclareOk>(await _client.ReceiveMethodAsync());
        await _client.PublishAsync(1, "held"u8.ToArray(), ExpiresInAMinute);
        await _client.SendAsync(1, new BasicGet("q", NoAck: false));
        Assert.False(Assert.IsType<BasicGetOk>(await _client.ReceiveMethodAsync()).Redelivered);
        await _client.ReceiveBodyAsync();
        await _client.PublishAsync(1, "behind"u8.ToArray());
        await CountAsync("q");
        var (attached, looks) = (Volatile.Read(ref _attached), Volatile.Read(ref _looks));
        _clock.Ahead += TimeSpan.FromMinutes(2);
        await _clock.AdvanceUntilAsync(UntilAsync(() => Volatile.Read(ref _looks) >= looks + 6), TimeSpan.FromMinutes(5));
        Assert.Equal(attached, Volatile.Read(ref _attached));
        // What comes back has expired. The other one was never delivered.
        await _client.SendAsync(1, new BasicNack(1, false, true));
        var following = Task.Run(async () =>
        {
            while (await CountAsync("letters") == 0)
                await Task.Delay(10);
        });
        await _clock.AdvanceUntilAsync(following, TimeSpan.FromMinutes(1));
        await following;
        await _client.SendAsync(1, new BasicGet("q", NoAck: true));
        Assert.False(Assert.IsType<BasicGetOk>(await _client.ReceiveMethodAsync()).Redelivered);
        Assert.Equal("behind"u8.ToArray(), await _client.ReceiveBodyAsync());
    }

    private void Count(string call)
    {
        if (call == nameof(IQueues.AttachAsync))
            Interlocked.Increment(ref _attached);
        else if (call == nameof(IQueues.PeekAsync))
            Interlocked.Increment(ref _looks);
    }

    private async Task<uint> CountAsync(string queue)
    {
        await _client.SendAsync(1, new QueueDeclare(queue, true, true, false, false, false, default));
        return Assert.IsType<QueueDeclareOk>(await _client.ReceiveMethodAsync()).MessageCount;
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        while (!condition())
            await Task.Delay(5, patience.Token);
    }
}
