using System.Net;
using OrleansMq.Gateways.Amqp;
using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Quotas;
using OrleansMq.Tests.Amqp.Broker;
using OrleansMq.Tests.Amqp.Sockets;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace OrleansMq.Tests.Amqp.Alarms;

/// <summary>Publishers that flood, queues that do not answer, consumers that do not read, and a disk that is nearly full.</summary>
public sealed class AlarmTests : IDisposable
{
    private const int Limit = 4 << 20;
    private const int Body = 64 << 10;
    // More than the limit and what the network holds on its way.
    private const int Messages = 800;
    // What was read when the alarm came: a buffer of the connection, of whole frames.
    private const int MostAbove = 1 << 20;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-alarms").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Publisher_that_floods_is_not_read_from_until_consumers_have_made_room_and_nothing_is_lost()
    {
        await using var gateway = await RunningGateway.StartAsync(_directory, configure: static options => options with
        {
            MaxMemoryBytes = Limit,
        });
        await using var reading = await ConnectAsync(gateway.Port);
        await using var channel = await reading.CreateChannelAsync();
        await channel.QueueDeclareAsync("q", false, false, false);
        await using var flooding = await OpenAsync(gateway.Port, "connection.blocked");
        var flood = FloodAsync(flooding);
        Assert.Equal("low on memory", Assert.IsType<ConnectionBlocked>(await flooding.ReceiveMethodAsync()).Reason);
        await UntilAsync(() => gateway.Gateway.Connections.Any(static one => one.Describe()?.State == "blocked"));
        // The queue takes what was read, and no more comes.
        Assert.InRange(gateway.Gateway.Memory.Used, Limit * 4 / 5, Limit + MostAbove);
        Assert.False(flood.IsCompleted);
        // Connections that only consume are served.
        var received = new List<int>();
        var all = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var most = 0L;
        var consumer = new AsyncEventingBasicConsumer(channel);
        consumer.ReceivedAsync += async (_, one) =>
        {
            received.Add(BitConverter.ToInt32(one.Body.Span));
            most = Math.Max(most, gateway.Gateway.Memory.Used);
            await channel.BasicAckAsync(one.DeliveryTag, multiple: false);
            if (received.Count == Messages)
                all.TrySetResult();
        };
        await channel.BasicQosAsync(0, 10, false);
        await channel.BasicConsumeAsync("q", autoAck: false, consumer);
        await all.Task.WaitAsync(Patience);
        await flood.WaitAsync(Patience);
        Assert.Equal(Enumerable.Range(0, Messages), received);
        Assert.InRange(most, 1, Limit + MostAbove);
        await UntilAsync(() => gateway.Gateway.Memory is { IsOver: false, Used: 0, Unfinished: 0 });
        Assert.IsType<ConnectionUnblocked>(await flooding.ReceiveMethodAsync());
    }

    [Fact]
    public async Task Client_that_does_not_know_blocking_is_held_back_and_told_nothing()
    {
        await using var gateway = await RunningGateway.StartAsync(_directory, configure: static options => options with
        {
            MaxMemoryBytes = Limit,
        });
        await using var other = await ConnectAsync(gateway.Port);
        await using var channel = await other.CreateChannelAsync();
        await channel.QueueDeclareAsync("q", false, false, false);
        await using var flooding = await OpenAsync(gateway.Port);
        var flood = FloodAsync(flooding, last: new BasicQos(0, 1, false));
        await UntilAsync(() => gateway.Gateway.Connections.Any(static one => one.Describe()?.State == "blocked"));
        Assert.False(flood.IsCompleted);
        // A queue that is purged makes room, again and again, until the command behind the flood is answered.
        var answer = flooding.ReceiveMethodAsync();
        await UntilAsync(async () =>
        {
            await channel.QueuePurgeAsync("q");
            return answer.IsCompleted;
        });
        Assert.IsType<BasicQosOk>(await answer);
        await flood;
    }

    [Fact]
    public async Task Blocked_connection_whose_client_has_died_ends_and_gives_back_what_it_held()
    {
        await using var gateway = await RunningGateway.StartAsync(_directory, configure: static options => options with
        {
            MaxMemoryBytes = Limit,
        });
        await using var other = await ConnectAsync(gateway.Port);
        await using var channel = await other.CreateChannelAsync();
        // Its queue is exclusive: the memory is free when the connection has ended.
        var dying = await WireClient.OpenAsync(new IPEndPoint(IPAddress.Loopback, gateway.Port), heartbeat: 10, "connection.blocked");
        await dying.SendAsync(1, new ChannelOpen());
        Assert.IsType<ChannelOpenOk>(await dying.ReceiveMethodAsync());
        await dying.SendAsync(1, new QueueDeclare("q", false, false, true, false, false, default));
        Assert.IsType<OrleansMq.Gateways.Amqp.Wire.Methods.QueueDeclareOk>(await dying.ReceiveMethodAsync());
        var flood = FloodAsync(dying);
        Assert.IsType<ConnectionBlocked>(await dying.ReceiveMethodAsync());
        await UntilAsync(() => gateway.Gateway.Connections.Any(static one => one.Describe()?.State == "blocked"));
        dying.Reset();
        await Assert.ThrowsAnyAsync<Exception>(() => flood);
        await UntilAsync(() => gateway.Gateway.Connections.Count() == 1);
        await UntilAsync(() => gateway.Gateway.Memory is { IsOver: false, Used: 0, Unfinished: 0 });
    }

    [Fact]
    public async Task Client_beyond_its_rate_that_is_gone_is_let_go_while_it_owes()
    {
        await using var gateway = await RunningGateway.StartAsync(_directory);
        var dying = await WireClient.OpenAsync(new IPEndPoint(IPAddress.Loopback, gateway.Port), heartbeat: 1, "connection.blocked");
        await dying.SendAsync(1, new ChannelOpen());
        Assert.IsType<ChannelOpenOk>(await dying.ReceiveMethodAsync());
        await gateway.Broker.Quotas.AlterAsync([new QuotaChange(new QuotaEntity("guest"),
            new Dictionary<QuotaKey, double?> { [QuotaKey.ProducerByteRate] = 1 })]);
        await dying.SendAsync(1, new QueueDeclare("q" + new string('x', 200), false, false, true, false, false, default));
        await UntilAsync(() => gateway.Broker.Quotas.SecondsThrottled("guest", QuotaKey.ProducerByteRate) > 0);
        // One more receive was begun before: it would notice the end.
        var before = Received();
        await dying.SendAsync(1, new ChannelOpen());
        await UntilAsync(() => Received() > before);
        dying.Reset();
        await UntilAsync(() => !gateway.Gateway.Connections.Any());
        Assert.True(gateway.Broker.Quotas.Of("User:guest", "").Wait() > TimeSpan.Zero);

        long Received() => Assert.Single(gateway.Gateway.Connections).Describe()!.ReceivedBytes;
    }

    [Fact]
    public async Task Reason_follows_the_memory_at_once()
    {
        var memory = new MemoryBudget(Limit);
        await using var alarms = new ResourceAlarms(memory, static () => false, TimeProvider.System, new RecordedLog());
        for (var i = 0; i < 10_000; i++)
        {
            memory.Add(Limit + 1);
            Assert.Equal(MemoryBudget.Reason, alarms.Reason);
            memory.Add(-Limit - 1);
            Assert.Null(alarms.Reason);
        }
    }

    [Fact]
    public async Task Publisher_to_a_queue_that_does_not_answer_is_blocked_at_the_limit()
    {
        var answers = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var access = new TestAccess { Before = method => method is BasicPublish ? answers.Task : Task.CompletedTask };
        var memory = new MemoryBudget(Limit);
        await using var alarms = new ResourceAlarms(memory, static () => false, TimeProvider.System, new RecordedLog());
        await using var server = AmqpServer.Start(new IPEndPoint(IPAddress.Loopback, 0), new ConnectionSettings(), access,
            TimeProvider.System, new RecordedLog(), alarms);
        await using var flooding = await OpenAsync(server.EndPoint.Port, "connection.blocked");
        var flood = FloodAsync(flooding);
        Assert.IsType<ConnectionBlocked>(await flooding.ReceiveMethodAsync());
        Assert.InRange(memory.Used, Limit, Limit + MostAbove);
        Assert.False(flood.IsCompleted);
        answers.SetResult();
        Assert.IsType<ConnectionUnblocked>(await flooding.ReceiveMethodAsync());
        await flood.WaitAsync(Patience);
        await UntilAsync(() => memory is { Used: 0, IsOver: false });
        Assert.InRange(alarms.Count, 1, long.MaxValue);
    }

    [Fact]
    public async Task Consumer_that_does_not_read_costs_its_buffer_and_others_are_served()
    {
        const int count = 600;
        await using var gateway = await RunningGateway.StartAsync(_directory);
        await using var connection = await ConnectAsync(gateway.Port);
        await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(true, true));
        await channel.QueueDeclareAsync("q", true, false, false);
        await using var deaf = await OpenAsync(gateway.Port);
        await deaf.SendAsync(1, new BasicConsume("q", "", false, true, false, false, default));
        for (var i = 0; i < count; i++)
            await channel.BasicPublishAsync("", "q", true, new byte[Body]);
        await UntilAsync(() => gateway.Gateway.Connections.Any(static one => one.UnsentBytes > ConnectionOutput.MaxUnsentBytes));
        Assert.InRange(gateway.Gateway.Connections.Max(static one => one.UnsentBytes), 1, ConnectionOutput.MaxUnsentBytes + (2 * Body));
        // Of 38 MiB it is sent what the network takes, and holds what was received at once.
        Assert.NotEqual(0u, (await channel.QueueDeclarePassiveAsync("q")).MessageCount);
        Assert.NotNull(await channel.BasicGetAsync("q", autoAck: true));
    }

    [Fact]
    public async Task Publishers_alone_are_told_that_the_disk_is_short_and_that_it_no_longer_is()
    {
        var isShort = false;
        await using var gateway = await RunningGateway.StartAsync(_directory, configure: options => options with
        {
            IsDiskShort = () => Volatile.Read(ref isShort),
        });
        await using var publishing = await ConnectAsync(gateway.Port);
        await using var consuming = await ConnectAsync(gateway.Port);
        await using var channel = await publishing.CreateChannelAsync(new CreateChannelOptions(true, true));
        await channel.QueueDeclareAsync("q", true, false, false);
        await channel.BasicPublishAsync("", "q", true, new byte[10]);
        var (blocked, unblocked) = (new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously),
            new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        publishing.ConnectionBlockedAsync += (_, told) => Task.FromResult(blocked.TrySetResult(told.Reason));
        publishing.ConnectionUnblockedAsync += (_, _) => Task.FromResult(unblocked.TrySetResult());
        var isConsumerTold = false;
        consuming.ConnectionBlockedAsync += (_, _) => Task.FromResult(isConsumerTold = true);
        Volatile.Write(ref isShort, true);
        Assert.Equal("low on disk", await blocked.Task.WaitAsync(Patience));
        await using (var reader = await consuming.CreateChannelAsync())
            Assert.NotNull(await reader.BasicGetAsync("q", autoAck: true));
        Assert.False(isConsumerTold);
        Volatile.Write(ref isShort, false);
        await unblocked.Task.WaitAsync(Patience);
        await channel.BasicPublishAsync("", "q", true, new byte[10]);
    }

    [Fact]
    public async Task Transactions_that_are_rolled_back_or_end_with_their_channel_give_their_memory_back()
    {
        await using var gateway = await RunningGateway.StartAsync(_directory, configure: static options => options with
        {
            MaxMemoryBytes = Limit,
        });
        await using var connection = await ConnectAsync(gateway.Port);
        await using (var channel = await connection.CreateChannelAsync())
        {
            await channel.QueueDeclareAsync("q", false, false, false);
            await channel.TxSelectAsync();
            await channel.BasicPublishAsync("", "q", true, new byte[Body]);
            await channel.TxCommitAsync();
            await channel.QueuePurgeAsync("q");
            await channel.BasicPublishAsync("", "q", true, new byte[Body]);
            await channel.TxRollbackAsync();
            Assert.Equal((0, 0), (gateway.Gateway.Memory.Unfinished, gateway.Gateway.Memory.Used));
            await channel.BasicPublishAsync("", "q", true, new byte[Body]);
            await UntilAsync(() => gateway.Gateway.Memory.Unfinished > Body);
        }
        await UntilAsync(() => gateway.Gateway.Memory is { Unfinished: 0, Used: 0 });
        await using var greedy = await connection.CreateChannelAsync();
        await greedy.TxSelectAsync();
        var closed = new TaskCompletionSource<ushort>(TaskCreationOptions.RunContinuationsAsynchronously);
        connection.ConnectionShutdownAsync += (_, why) => Task.FromResult(closed.TrySetResult(why.ReplyCode));
        await Assert.ThrowsAnyAsync<Exception>(async () =>
        {
            for (var i = 0; i < Limit / Body; i++)
                await greedy.BasicPublishAsync("", "q", true, new byte[Body]);
            await greedy.TxCommitAsync();
        });
        Assert.Equal(506, await closed.Task.WaitAsync(Patience));
        await UntilAsync(() => gateway.Gateway.Memory is { Unfinished: 0, Used: 0 });
    }

    private static async Task<WireClient> OpenAsync(int port, params string[] capabilities)
    {
        var client = await WireClient.OpenAsync(new IPEndPoint(IPAddress.Loopback, port), 0, capabilities);
        await client.SendAsync(1, new ChannelOpen());
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        return client;
    }

    // Numbers each body.
    private static Task FloodAsync(WireClient client, BasicQos? last = null) => Task.Run(async () =>
    {
        for (var i = 0; i < Messages; i++)
        {
            var body = new byte[Body];
            BitConverter.TryWriteBytes(body, i);
            await client.PublishAsync(1, body);
        }
        if (last is { } qos)
            await client.SendAsync(1, qos);
    });

    private static Task<IConnection> ConnectAsync(int port) => new ConnectionFactory
    {
        HostName = "127.0.0.1",
        Port = port,
        AutomaticRecoveryEnabled = false,
    }.Patient().CreateConnectionAsync();

    private static Task UntilAsync(Func<bool> condition) => UntilAsync(() => Task.FromResult(condition()));

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        var deadline = DateTime.UtcNow + Patience;
        while (!await condition())
        {
            Assert.True(DateTime.UtcNow < deadline, "It did not happen in time.");
            await Task.Delay(10);
        }
    }
}
