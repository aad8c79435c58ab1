using System.Collections.Concurrent;
using System.Text;
using OrleansMq.Tests.Amqp.Broker;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;
using RabbitMQ.Client.Exceptions;

namespace OrleansMq.Tests.Amqp.DotNet;

/// <summary>A standalone broker with its data on disk, and RabbitMQ's client: a connection with a channel that confirms.</summary>
public abstract class ClientTest : IAsyncLifetime
{
    internal static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    protected static readonly BasicProperties Persistent = new() { Persistent = true };

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-client").FullName;
    private IConnection? _connection;

    internal RunningGateway Gateway { get; private set; } = null!;

    protected IConnection Connection => _connection!;

    protected IChannel Channel { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        Gateway = await RunningGateway.StartAsync(_directory);
        await OpenAsync();
    }

    public async Task DisposeAsync()
    {
        await Connection.DisposeAsync();
        await Gateway.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    /// <summary>Stops the broker, and starts it again over its data.</summary>
    protected async Task RestartAsync()
    {
        await Connection.DisposeAsync();
        await Gateway.DisposeAsync();
        Gateway = await RunningGateway.StartAsync(_directory);
        await OpenAsync();
    }

    protected Task<IConnection> ConnectAsync(string user = "guest", string password = "guest", string host = "/") => new ConnectionFactory
    {
        HostName = "127.0.0.1",
        Port = Gateway.Port,
        UserName = user,
        Password = password,
        VirtualHost = host,
        AutomaticRecoveryEnabled = false,
    }.Patient().CreateConnectionAsync();

    protected Task<QueueDeclareOk> DeclareAsync(string name, string type, params (string Name, object? Value)[] arguments) =>
        Channel.QueueDeclareAsync(name, true, false, false,
            new Dictionary<string, object?>(arguments.Select(static one => KeyValuePair.Create(one.Name, one.Value)))
            {
                ["x-queue-type"] = type,
            });

    /// <summary>Publishes to a queue, and waits for the confirm.</summary>
    protected ValueTask PublishAsync(string queue, string body) =>
        Channel.BasicPublishAsync("", queue, true, Persistent, Encoding.UTF8.GetBytes(body));

    /// <summary>Consumes with a prefetch.</summary>
    internal static async Task<BlockingCollection<Received>> StartAsync(IChannel channel, string queue, ushort prefetch = 100,
        IDictionary<string, object?>? arguments = null)
    {
        await channel.BasicQosAsync(0, prefetch, false);
        var received = new BlockingCollection<Received>();
        var consumer = new AsyncEventingBasicConsumer(channel);
        consumer.ReceivedAsync += (_, one) =>
        {
            received.Add(new Received(one));
            return Task.CompletedTask;
        };
        await channel.BasicConsumeAsync(queue, false, "", false, false, arguments, consumer);
        return received;
    }

    internal static Task<Received> NextAsync(BlockingCollection<Received> received) => Task.Run(() =>
        received.TryTake(out var one, Patience) ? one : throw new TimeoutException("No delivery came."));

    /// <summary>Waits for a message in a queue, and takes it.</summary>
    internal async Task<Received> GetAsync(string queue)
    {
        BasicGetResult? got = null;
        await UntilAsync(async () => (got = await Channel.BasicGetAsync(queue, autoAck: true)) is not null);
        return new Received(got!);
    }

    protected static async Task UntilAsync(Func<Task<bool>> condition)
    {
        var deadline = DateTime.UtcNow + Patience;
        while (!await condition())
        {
            Assert.True(DateTime.UtcNow < deadline, "It did not happen in time.");
            await Task.Delay(10);
        }
    }

    protected async Task RefusedAsync(int code, string text, Func<IChannel, Task> action, IConnection? over = null)
    {
        await using var own = over is null ? await ConnectAsync() : null;
        await using var channel = await (over ?? own!).CreateChannelAsync();
        var refused = await Assert.ThrowsAnyAsync<OperationInterruptedException>(() => action(channel));
        Assert.Equal(code, refused.ShutdownReason!.ReplyCode);
        Assert.Contains(text, refused.ShutdownReason.ReplyText, StringComparison.Ordinal);
    }

    protected static string Text(object? value) => Encoding.UTF8.GetString((byte[])value!);

    private async Task OpenAsync()
    {
        _connection = await ConnectAsync();
        Channel = await _connection.CreateChannelAsync(new CreateChannelOptions(publisherConfirmationsEnabled: true,
            publisherConfirmationTrackingEnabled: true));
    }
}

/// <summary>A message that a client received.</summary>
internal sealed record Received(string Body, ulong Tag, string Exchange, string RoutingKey, bool IsRedelivered,
    IReadOnlyBasicProperties Properties)
{
    public Received(BasicDeliverEventArgs one)
        : this(Encoding.UTF8.GetString(one.Body.Span), one.DeliveryTag, one.Exchange, one.RoutingKey, one.Redelivered,
            new BasicProperties(one.BasicProperties)) { }

    public Received(BasicGetResult one)
        : this(Encoding.UTF8.GetString(one.Body.Span), one.DeliveryTag, one.Exchange, one.RoutingKey, one.Redelivered,
            new BasicProperties(one.BasicProperties)) { }

    public DateTimeOffset At { get; } = DateTimeOffset.UtcNow;

    public IDictionary<string, object?> Headers => Properties.Headers ?? new Dictionary<string, object?>();

    public long Offset => (long)Headers["x-stream-offset"]!;
}
