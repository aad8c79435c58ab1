using OrleansMq.Api;
using OrleansMq.Tests.Amqp.Queues;
using OrleansMq.VirtualHosts;
using RabbitMQ.Client;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>A virtual host that is made again while what the one before left is deleted.</summary>
public sealed class NewHostTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-new-host").FullName;
    private RunningGateway _gateway = null!;
    private Action<string> _called = static _ => { };

    public async Task InitializeAsync() => _gateway = await RunningGateway.StartAsync(_directory, engine: inner =>
    {
        var broker = new ScriptedBroker(inner);
        broker.Script.Called = name => _called(name);
        return broker;
    });

    public async Task DisposeAsync()
    {
        await _gateway.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Confirmed_delayed_message_of_a_new_virtual_host_survives_the_deletion_of_the_one_before()
    {
        var hosts = await _gateway.Broker.OpenVirtualHostsAsync();
        await hosts.AdministerAsync(new PutVirtualHost("other", "guest"));
        await PublishAsync("old", delay: 600_000);
        var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var held = new ManualResetEventSlim();
        // The deletion has found the topic, and asks whose it is.
        _called = name =>
        {
            if (name == nameof(IQueues.ListAsync) && begun.TrySetResult())
                held.Wait(Patience);
        };
        await hosts.AdministerAsync(new DeleteVirtualHost("other"));
        await begun.Task.WaitAsync(Patience);
        await hosts.AdministerAsync(new PutVirtualHost("other", "guest"));
        await using var connection = await ConnectAsync();
        await using var channel = await connection.CreateChannelAsync();
        await channel.QueueDeclareAsync("q", true, false, false);
        await PublishAsync("new", delay: 1000);
        held.Set();
        await channel.QueueBindAsync("q", "delayed", "");
        BasicGetResult? got = null;
        for (var deadline = DateTime.UtcNow + Patience; got is null; await Task.Delay(10))
        {
            Assert.True(DateTime.UtcNow < deadline, "The message did not come.");
            got = await channel.BasicGetAsync("q", autoAck: true);
        }
        Assert.Equal("new"u8, got.Body.Span);
    }

    private async Task PublishAsync(string body, int delay)
    {
        await using var connection = await ConnectAsync();
        await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(true, true));
        await channel.ExchangeDeclareAsync("delayed", "x-delayed-message", true, false,
            new Dictionary<string, object?> { ["x-delayed-type"] = "fanout" });
        await channel.BasicPublishAsync("delayed", "", false, new BasicProperties
        {
            Persistent = true,
            Headers = new Dictionary<string, object?> { ["x-delay"] = delay },
        }, System.Text.Encoding.UTF8.GetBytes(body));
    }

    private Task<IConnection> ConnectAsync() => new ConnectionFactory
    {
        HostName = "127.0.0.1",
        Port = _gateway.Port,
        VirtualHost = "other",
        AutomaticRecoveryEnabled = false,
    }.Patient().CreateConnectionAsync();
}
