using OrleansMq.Tests.Amqp.DotNet;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>A broker that has not heard of what other brokers' clients declare and delete.</summary>
public sealed class StaleImageTests : IAsyncLifetime
{
    private readonly string _directory = Directory.CreateTempSubdirectory("omq-stale").FullName;
    private TestHosts? _hosts;
    private RunningGateway _gateway = null!;
    private IConnection _connection = null!;

    public async Task InitializeAsync()
    {
        _gateway = await RunningGateway.StartAsync(_directory, hosts: inner => _hosts = new TestHosts(inner));
        _connection = await new ConnectionFactory
        {
            HostName = "127.0.0.1",
            Port = _gateway.Port,
            AutomaticRecoveryEnabled = false,
        }.Patient().CreateConnectionAsync();
    }

    public async Task DisposeAsync()
    {
        await _connection.DisposeAsync();
        await _gateway.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Publish_to_a_deleted_queue_is_confirmed_and_other_commands_find_none()
    {
        await using var channel = await _connection.CreateChannelAsync(new CreateChannelOptions(true, true));
        await channel.QueueDeclareAsync("q", durable: true, exclusive: false, autoDelete: false);
        await channel.BasicPublishAsync("", "q", true, "before"u8.ToArray()).AsTask().WaitAsync(ClientTest.Patience);
        var before = _hosts!.Find("/");
        await channel.QueueDeleteAsync("q");
        _hosts.Image = before;
        await channel.BasicPublishAsync("", "q", true, "after"u8.ToArray()).AsTask().WaitAsync(ClientTest.Patience);
        Assert.Empty(await _gateway.Broker.ListTopicsAsync());
        var refused = await Assert.ThrowsAnyAsync<OperationInterruptedException>(() => channel.BasicGetAsync("q", autoAck: true));
        Assert.Equal((404, "NOT_FOUND - no queue 'q' in vhost '/'"),
            (refused.ShutdownReason!.ReplyCode, refused.ShutdownReason.ReplyText));
        Assert.True(_connection.IsOpen);
    }

    [Fact]
    public async Task Letter_that_is_published_at_least_once_gets_to_an_exchange_that_is_newer_than_the_image()
    {
        await using var channel = await _connection.CreateChannelAsync(new CreateChannelOptions(true, true));
        await channel.QueueDeclareAsync("q", durable: true, exclusive: false, autoDelete: false, new Dictionary<string, object?>
        {
            ["x-queue-type"] = "quorum",
            ["x-overflow"] = "reject-publish",
            ["x-dead-letter-strategy"] = "at-least-once",
            ["x-dead-letter-exchange"] = "dead",
        });
        await channel.QueueDeclareAsync("letters", durable: true, exclusive: false, autoDelete: false);
        var before = _hosts!.Find("/");
        await channel.ExchangeDeclareAsync("dead", "fanout", durable: true);
        await channel.QueueBindAsync("letters", "dead", "");
        _hosts.Image = before;
        await channel.BasicPublishAsync("", "q", true, "m"u8.ToArray()).AsTask().WaitAsync(ClientTest.Patience);
        var rejected = (await channel.BasicGetAsync("q", autoAck: false))!;
        await channel.BasicRejectAsync(rejected.DeliveryTag, requeue: false);
        BasicGetResult? letter = null;
        for (var since = DateTime.UtcNow; letter is null && DateTime.UtcNow - since < ClientTest.Patience;)
            letter = await channel.BasicGetAsync("letters", autoAck: true);
        Assert.Equal("m", System.Text.Encoding.UTF8.GetString(letter!.Body.Span));
        Assert.Equal(0u, (await channel.QueueDeclarePassiveAsync("q")).MessageCount);
    }
}
