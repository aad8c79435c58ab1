using System.Net;
using OrleansMq.Api;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Tests.Amqp.Broker;
using OrleansMq.Tests.Amqp.Sockets;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>Dead letters whose queue has no leader: what waits for them, and for how long.</summary>
public sealed class StuckLettersTests : IAsyncLifetime
{
    // An append waits 15 seconds for a leader: what waits for a letter takes longer than the bounds below.
    private const int Count = 50;

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-letters").FullName;
    // Ahead of the broker's clock, which says when messages came: with a time to live they have expired.
    private readonly ManualClock _clock = new();
    private RunningGateway _gateway = null!;
    private WireClient _client = null!;
    private volatile bool _isAway = true;
    private int _appends;

    public async Task InitializeAsync()
    {
        _clock.Ahead = DateTimeOffset.UtcNow - _clock.GetUtcNow() + TimeSpan.FromHours(1);
        _gateway = await RunningGateway.StartAsync(_directory, configure: options => options with { TimeProvider = _clock },
            engine: inner => new ScriptedBroker(inner) { Produce = ProduceAsync });
        _client = await WireClient.OpenAsync(new IPEndPoint(IPAddress.Loopback, _gateway.Port));
        await _client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await _client.ReceiveMethodAsync());
        await _client.SendAsync(1, new QueueDeclare("letters", false, true, false, false, false, default));
        Assert.IsType<QueueDeclareOk>(await _client.ReceiveMethodAsync());
    }

    public async Task DisposeAsync()
    {
        _isAway = false;
        await _client.DisposeAsync();
        await _clock.AdvanceUntilAsync(_gateway.DisposeAsync().AsTask(), TimeSpan.FromMinutes(10));
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Close_of_a_consumers_channel_waits_for_no_letters_of_expired_messages()
    {
        await DeclareAsync(("x-message-ttl", FieldValue.Of(1000L)));
        for (var i = 0; i < Count; i++)
            await _client.PublishAsync(1, "m"u8.ToArray());
        await _client.SendAsync(1, new BasicConsume("q", "c", false, false, false, false, default));
        Assert.IsType<BasicConsumeOk>(await _client.ReceiveMethodAsync());
        // Then the consumer holds what it received first.
        while (await CountAsync("q") > Count - 10 || Volatile.Read(ref _appends) == 0)
            await Task.Delay(10);
        await _client.SendAsync(1, new ChannelClose(200, "bye", 0, 0));
        var closed = _client.ReceiveMethodAsync();
        await _clock.AdvanceUntilAsync(closed, TimeSpan.FromSeconds(13), ClockSteps.Small);
        Assert.IsType<ChannelCloseOk>(await closed);
    }

    [Fact]
    public async Task Publishes_above_the_length_are_confirmed_and_their_letters_follow()
    {
        await DeclareAsync(("x-max-length", FieldValue.Of(1L)));
        await _client.SendAsync(1, new ConfirmSelect(false));
        Assert.IsType<ConfirmSelectOk>(await _client.ReceiveMethodAsync());
        for (var i = 0; i < Count; i++)
            await _client.PublishAsync(1, "m"u8.ToArray());
        await _clock.AdvanceUntilAsync(ConfirmedAsync(), TimeSpan.FromSeconds(13), ClockSteps.Small);
        Assert.True(Volatile.Read(ref _appends) > 0);
        _isAway = false;
        var letters = 0u;
        var following = Task.Run(async () =>
        {
            while ((letters = await CountAsync("letters")) < Count - 1 || await CountAsync("q") > 1)
                await Task.Delay(10);
        });
        await _clock.AdvanceUntilAsync(following, TimeSpan.FromMinutes(5));
        Assert.Equal((Count - 1u, 1u), (letters, await CountAsync("q")));
    }

    private async Task DeclareAsync((string, FieldValue) argument)
    {
        await _client.SendAsync(1, new QueueDeclare("q", false, true, false, false, false, FieldTable.Of(argument,
            ("x-dead-letter-exchange", FieldValue.Of("")), ("x-dead-letter-routing-key", FieldValue.Of("letters")))));
        Assert.IsType<QueueDeclareOk>(await _client.ReceiveMethodAsync());
    }

    private async Task<uint> CountAsync(string queue)
    {
        await _client.SendAsync(1, new QueueDeclare(queue, true, true, false, false, false, default));
        return Assert.IsType<QueueDeclareOk>(await _client.ReceiveMethodAsync()).MessageCount;
    }

    private async Task ConfirmedAsync()
    {
        for (var open = Enumerable.Range(1, Count).Select(static tag => (ulong)tag).ToHashSet(); open.Count > 0;)
        {
            var ack = Assert.IsType<BasicAck>(await _client.ReceiveMethodAsync());
            open.RemoveWhere(tag => tag == ack.DeliveryTag || (ack.Multiple && tag < ack.DeliveryTag));
        }
    }

    private ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Func<ValueTask<ProduceResult>> produce)
    {
        if (partition.Topic != "amqp.letters" || !_isAway)
            return produce();
        Interlocked.Increment(ref _appends);
        return new(ProduceResult.Failed(ErrorCode.LeaderNotAvailable, "The partition has no leader."));
    }
}
