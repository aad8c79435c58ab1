using System.Text;
using OrleansMq.Api;
using OrleansMq.Tests.Amqp.Broker;
using RabbitMQ.Client;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>Delayed messages that are due while the queue of some cannot be reached: the queue "stuck", beside "free".</summary>
public sealed class StuckDelaysTests : IAsyncLifetime
{
    // More than are routed at a time.
    private const int Many = 300;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-stuck-delays").FullName;
    private ScriptedBroker _broker = null!;
    private RunningGateway _gateway = null!;
    private IConnection _connection = null!;
    private IChannel _channel = null!;
    private volatile bool _isStuck = true;
    private int _attempts;

    public async Task InitializeAsync()
    {
        _gateway = await RunningGateway.StartAsync(_directory, engine: inner => _broker = new ScriptedBroker(inner));
        _connection = await new ConnectionFactory { HostName = "127.0.0.1", Port = _gateway.Port, AutomaticRecoveryEnabled = false }
            .Patient().CreateConnectionAsync();
        _channel = await _connection.CreateChannelAsync(new CreateChannelOptions(true, true));
        await _channel.ExchangeDeclareAsync("delayed", "x-delayed-message", true, false,
            new Dictionary<string, object?> { ["x-delayed-type"] = "direct" });
        foreach (var queue in new[] { "stuck", "free" })
        {
            await _channel.QueueDeclareAsync(queue, true, false, false);
            await _channel.QueueBindAsync(queue, "delayed", queue);
        }
    }

    public async Task DisposeAsync()
    {
        _isStuck = false;
        await _connection.DisposeAsync();
        await _gateway.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Message_behind_one_whose_queue_does_not_answer_comes_meanwhile()
    {
        var answer = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        try
        {
            _broker.Produce = async (partition, store) =>
            {
                if (partition.Topic == "amqp.stuck")
                {
                    Interlocked.Increment(ref _attempts);
                    await answer.Task;
                }
                return await store();
            };
            await PublishAsync("stuck", "waits");
            await UntilAsync(() => Task.FromResult(Volatile.Read(ref _attempts) > 0));
            await PublishAsync("free", "comes");
            Assert.Equal("comes", await GetAsync("free"));
        }
        finally
        {
            answer.TrySetResult();
        }
        Assert.Equal("waits", await GetAsync("stuck"));
    }

    [Fact]
    public async Task Message_behind_many_whose_queue_cannot_be_reached_comes_and_they_come_once_each_when_it_can()
    {
        _broker.Produce = async (partition, store) =>
        {
            if (partition.Topic != "amqp.stuck" || !_isStuck)
                return await store();
            Interlocked.Increment(ref _attempts);
            return ProduceResult.Failed(ErrorCode.KafkaStorageError, "The disk is full.");
        };
        await Task.WhenAll(Enumerable.Range(0, Many).Select(number => PublishAsync("stuck", $"{number}").AsTask()));
        await UntilAsync(() => Task.FromResult(Volatile.Read(ref _attempts) > 0));
        await PublishAsync("free", "comes");
        Assert.Equal("comes", await GetAsync("free"));
        _isStuck = false;
        var bodies = new List<string>();
        while (bodies.Count < Many)
            bodies.Add(await GetAsync("stuck"));
        Assert.Equal(Enumerable.Range(0, Many).Select(static number => $"{number}").Order(), bodies.Order());
        Assert.Null(await _channel.BasicGetAsync("stuck", autoAck: true));
    }

    [Fact]
    public async Task Many_whose_queue_does_not_answer_leave_room_for_those_of_another_exchange()
    {
        await _channel.ExchangeDeclareAsync("other", "x-delayed-message", true, false,
            new Dictionary<string, object?> { ["x-delayed-type"] = "direct" });
        await _channel.QueueBindAsync("free", "other", "free");
        var answer = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        try
        {
            _broker.Produce = async (partition, store) =>
            {
                if (partition.Topic == "amqp.stuck")
                {
                    Interlocked.Increment(ref _attempts);
                    await answer.Task;
                }
                return await store();
            };
            await Task.WhenAll(Enumerable.Range(0, Many).Select(number => PublishAsync("stuck", $"{number}").AsTask()));
            await UntilAsync(() => Task.FromResult(Volatile.Read(ref _attempts) > 0));
            await PublishAsync("free", "comes", "other");
            Assert.Equal("comes", await GetAsync("free"));
        }
        finally
        {
            answer.TrySetResult();
        }
        // Those that were not answered in time come again.
        var bodies = new HashSet<string>();
        while (bodies.Count < Many)
            bodies.Add(await GetAsync("stuck"));
    }

    private ValueTask PublishAsync(string key, string body, string exchange = "delayed") => _channel.BasicPublishAsync(exchange, key, true,
        new BasicProperties { Persistent = true, Headers = new Dictionary<string, object?> { ["x-delay"] = 1 } },
        Encoding.UTF8.GetBytes(body));

    private async Task<string> GetAsync(string queue)
    {
        BasicGetResult? got = null;
        await UntilAsync(async () => (got = await _channel.BasicGetAsync(queue, autoAck: true)) is not null);
        return Encoding.UTF8.GetString(got!.Body.Span);
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        var deadline = DateTime.UtcNow + Patience;
        while (!await condition())
        {
            Assert.True(DateTime.UtcNow < deadline, "It did not happen in time.");
            await Task.Delay(5);
        }
    }
}
