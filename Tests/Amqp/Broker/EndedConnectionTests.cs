using System.Globalization;
using System.Net;
using System.Text;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Tests.Amqp.Sockets;
using OrleansMq.VirtualHosts;
using RabbitMQ.Client;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>Clients that are gone while a channel still handles a command.</summary>
public sealed class EndedConnectionTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-ended").FullName;
    private TestHosts? _hosts;
    private RunningGateway _gateway = null!;

    public async Task InitializeAsync()
    {
        _gateway = await RunningGateway.StartAsync(_directory, hosts: inner => _hosts = new TestHosts(inner));
        await _gateway.Gateway.OpenQueuesAsync();
    }

    public async Task DisposeAsync()
    {
        await _gateway.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Consumer_takes_nothing_for_a_client_that_is_gone(bool isNoAck)
    {
        const int Count = 20;
        await using var connection = await ConnectAsync();
        await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(true, true));
        await channel.QueueDeclareAsync("q", true, false, false, new Dictionary<string, object?> { ["x-queue-type"] = "quorum" });
        var (begun, held) = (new TaskCompletionSource(), new TaskCompletionSource());
        _hosts!.Before = command =>
        {
            if (command is not DeclareQueue { Queue.Name: "held" })
                return Task.CompletedTask;
            begun.SetResult();
            return held.Task;
        };
        await using var client = await OpenChannelAsync();
        await client.SendAsync(1, new BasicConsume("q", "c", false, isNoAck, false, false, default));
        Assert.IsType<BasicConsumeOk>(await client.ReceiveMethodAsync());
        await client.SendAsync(1, new QueueDeclare("held", false, true, false, false, false, default));
        await begun.Task.WaitAsync(Patience);
        client.Reset();
        await UntilAsync(() => Task.FromResult(_gateway.Gateway.Connections.Count(static one => one.Describe() is not null) == 1));
        for (var i = 0; i < Count; i++)
            await channel.BasicPublishAsync("", "q", true, new BasicProperties { Persistent = true }, Encoding.UTF8.GetBytes($"{i}"));
        held.SetResult();
        var left = new List<string>();
        await UntilAsync(async () =>
        {
            while (await channel.BasicGetAsync("q", autoAck: true) is { } one)
            {
                left.Add(Encoding.UTF8.GetString(one.Body.Span));
                // What was never sent has not failed.
                Assert.False(one.BasicProperties.Headers?.ContainsKey("x-delivery-count") == true);
            }
            return left.Count == Count;
        });
        Assert.Equal(Enumerable.Range(0, Count), left.Select(static body => int.Parse(body, CultureInfo.InvariantCulture)).Order());
    }

    [Fact]
    public async Task Owner_learns_of_the_end_of_a_connection_whose_declaration_it_has_not_answered()
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _hosts!.Before = command =>
        {
            if (command is EndConnection)
                ended.TrySetResult();
            return command is DeclareQueue ? throw new BrokerException(ErrorCode.RequestTimedOut, "No answer came.") : Task.CompletedTask;
        };
        await using var client = await OpenChannelAsync();
        await client.SendAsync(1, new QueueDeclare("mine", false, false, true, false, false, default));
        Assert.Equal(541, Assert.IsType<ConnectionClose>(await client.ReceiveMethodAsync()).ReplyCode);
        client.Reset();
        await ended.Task.WaitAsync(Patience);
    }

    [Fact]
    public async Task Exclusive_queue_that_is_declared_after_its_connection_has_ended_is_deleted()
    {
        _hosts!.IsShared = true;
        await using var client = await OpenChannelAsync();
        await client.SendAsync(1, new QueueDeclare("mine", false, false, true, false, false, default));
        Assert.IsType<Gateways.Amqp.Wire.Methods.QueueDeclareOk>(await client.ReceiveMethodAsync());
        // The ids of a gateway's connections end alike; one of another gateway is not this one's to end.
        var ending = _hosts.Find("/")!.Topology.FindQueue("mine")!.Owner![^9..];
        Assert.True((await DeclareAsync("other", "/gone")).IsChanged);
        var answer = await DeclareAsync("late", $"/gone{ending}");
        Assert.True(answer.IsChanged);
        await UntilAsync(() => Task.FromResult(_hosts.Find("/")!.Topology.FindQueue("late") is null));
        Assert.NotNull(_hosts.Find("/")!.Topology.FindQueue("mine"));
        Assert.NotNull(_hosts.Find("/")!.Topology.FindQueue("other"));

        ValueTask<VirtualHostAnswer> DeclareAsync(string name, string connection) =>
            _hosts.SendAsync("/", new DeclareQueue(new QueueDeclaration { Name = name, Exclusive = true }, connection));
    }

    private async Task<WireClient> OpenChannelAsync()
    {
        var client = await WireClient.OpenAsync(new IPEndPoint(IPAddress.Loopback, _gateway.Port));
        await client.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await client.ReceiveMethodAsync());
        return client;
    }

    private Task<IConnection> ConnectAsync() => new ConnectionFactory
    {
        HostName = "127.0.0.1",
        Port = _gateway.Port,
        AutomaticRecoveryEnabled = false,
    }.Patient().CreateConnectionAsync();

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
