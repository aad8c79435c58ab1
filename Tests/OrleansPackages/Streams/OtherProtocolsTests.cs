using System.Collections.Concurrent;
using System.Net;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Streams;
using OrleansMq.Client;
using OrleansMq.Hosting;
using OrleansMq.Streams;
using OrleansMq.Tests.Shared;
using RabbitMQ.Client;
using RabbitMQ.Client.Events;

namespace OrleansMq.Tests.OrleansPackages.Streams;

/// <summary>The clients of RabbitMQ and of Apache Kafka, and HTTP, write and read the events of streams, on one silo with their
/// gateways.</summary>
public sealed class OtherProtocolsTests : IAsyncLifetime
{
    private static readonly IPEndPoint AnyPort = new(IPAddress.Loopback, 0);

    private readonly TempDirectory _data = new();
    private readonly ConcurrentQueue<(string? Key, string Body)> _delivered = new();
    private TestSilo _silo = null!;
    private OrleansMqClient _client = null!;
    private IConnection _connection = null!;
    private IChannel _channel = null!;

    public async Task InitializeAsync()
    {
        _silo = await StartAsync(StreamFormat.Json());
        await ConnectAsync();
    }

    public async Task DisposeAsync()
    {
        await _connection.DisposeAsync();
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    [Theory]
    [InlineData("stream")]
    [InlineData("quorum")]
    public async Task Queue_that_AMQP_declares_is_a_stream_of_grains_and_of_AMQP(string type)
    {
        await _channel.QueueDeclareAsync(type, true, false, false, new Dictionary<string, object?> { ["x-queue-type"] = type });
        // The queue's topic follows its declaration. Another one waits for it.
        await _channel.QueueDeclarePassiveAsync(type);
        var topic = $"amqp.{type}";
        var reader = _silo.Client.GetGrain<IReaderGrain>($"{topic}/k/1");
        await reader.SubscribeAsync(inBatches: false);
        await ConsumeAsync(type, "first");

        await PublishAsync(type, "k", """{"number":1}""");
        await PublishAsync(type, "other", """{"number":100}""");
        await PublishAsync(type, null, "of no stream");
        await _silo.Client.GetGrain<IPublisherGrain>(0).PublishAsync(topic, "k", new Happened(2));
        await PublishAsync(type, "k", """{"number":3}""");

        await ReceivedAsync(topic, reader, 1, 2, 3);
        await DeliveredAsync(("k", """{"number":1}"""), ("other", """{"number":100}"""), (null, "of no stream"),
            ("k", """{"number":2}"""), ("k", """{"number":3}"""));
    }

    [Fact]
    public async Task Topic_of_a_stream_is_written_and_read_over_AMQP_in_the_partition_of_its_key()
    {
        await _client.Admin.CreateTopicAsync("implicit-amqp", 4);
        var partition = Partitioning.Murmur2Partitioner.ForKey("k"u8, 4);
        await ConsumeAsync($"amq.topic/implicit-amqp/{partition}", "first");
        await PublishAsync("amq.topic/implicit-amqp", "k", """{"number":1}""");
        await _silo.Client.GetGrain<IPublisherGrain>(0).PublishAsync("implicit-amqp", "k", new Happened(2));
        await PublishAsync("amq.topic/implicit-amqp", "k", """{"number":3}""");
        await ReceivedAsync("implicit-amqp", null, 1, 2, 3);
        await DeliveredAsync(("k", """{"number":1}"""), ("k", """{"number":2}"""), ("k", """{"number":3}"""));
    }

    [Fact]
    public void Key_of_a_stream_is_a_text_in_its_records()
    {
        var key = Guid.NewGuid();
        Assert.Equal($"{key:N}", StreamId.Create("orders", key).GetKeyAsString());
        Assert.Equal("255", StreamId.Create("orders", 255).GetKeyAsString());
        Assert.Equal("customer-7", StreamId.Create("orders", "customer-7").GetKeyAsString());
    }

    [Fact]
    public async Task Body_over_AMQP_is_what_the_format_of_the_event_writes()
    {
        var provider = _silo.Services.GetRequiredKeyedService<IStreamProvider>("test");
        await _client.Admin.CreateTopicAsync("formats", 1);
        await ConsumeAsync("amq.topic/formats", "first");
        await provider.GetStream<string>("formats", "text").OnNextAsync("täxt");
        await provider.GetStream<byte[]>("formats", "bytes").OnNextAsync([1, 2, 3]);
        await provider.GetStream<int>("formats", "number").OnNextAsync(258);
        await provider.GetStream<Happened>("formats", "json").OnNextAsync(new Happened(7));
        await provider.GetStream<Happened?>("formats", "null").OnNextAsync(null);
        await DeliveredAsync(("text", "täxt"), ("bytes", "\u0001\u0002\u0003"), ("number", "\0\0\u0001\u0002"),
            ("json", """{"number":7}"""), ("null", ""));
        // The other direction.
        foreach (var (type, body) in new (string, byte[])[]
        {
            ("String", "täxt"u8.ToArray()), ("Byte[]", [1, 2, 3]), ("Int32", [0, 0, 1, 2]),
        })
        {
            var grain = _silo.Client.GetGrain<ITypedReaderGrain>($"typed-{type}");
            await grain.SubscribeAsync(type);
            await PublishAsync("amq.topic/typed", $"typed-{type}", body);
            await Wait.UntilAsync(async () => await grain.FindAsync() is not null, $"the {type}");
            Assert.Equal(body, StreamFormat.Json().Serialize((dynamic)(await grain.FindAsync())!, _silo.Services));
        }
    }

    [Fact]
    public async Task Topic_of_a_stream_is_written_and_read_over_HTTP()
    {
        await _client.Admin.CreateTopicAsync("implicit-http", 4);
        using var http = new HttpClient { BaseAddress = new Uri(GatewayOf("http").Address) };
        await ProduceOverHttpAsync(http, 1);
        await _silo.Client.GetGrain<IPublisherGrain>(0).PublishAsync("implicit-http", "k", new Happened(2));
        await ProduceOverHttpAsync(http, 3);
        await ReceivedAsync("implicit-http", null, 1, 2, 3);
        var partition = Partitioning.Murmur2Partitioner.ForKey("k"u8, 4);
        var lines = await http.GetStringAsync($"/api/topics/implicit-http/partitions/{partition}/records?offset=0&max=3");
        Assert.Equal([("k", """{"number":1}"""), ("k", """{"number":2}"""), ("k", """{"number":3}""")],
            lines.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(static line => JsonDocument.Parse(line).RootElement)
                .Where(static line => line.TryGetProperty("value", out _))
                .Select(static line => (line.GetProperty("key").GetString(), line.GetProperty("value").GetString())));
    }

    [SkippableFact]
    public async Task Topic_of_a_stream_is_written_and_read_by_Kafkas_own_client_in_the_partition_of_its_key()
    {
        await _client.Admin.CreateTopicAsync("implicit-kafka", 4);
        string[] servers = ["--bootstrap-server", GatewayOf("kafka").EndPoint.ToString(), "--topic", "implicit-kafka"];
        await ClientProgram.JavaAsync("org.apache.kafka.tools.ConsoleProducer",
            [.. servers, "--reader-property", "parse.key=true", "--reader-property", "key.separator=="],
            "k={\"number\":1}\nother={\"number\":100}\nk={\"number\":2}\n");
        await _silo.Client.GetGrain<IPublisherGrain>(0).PublishAsync("implicit-kafka", "k", new Happened(3));
        await ReceivedAsync("implicit-kafka", null, 1, 2, 3);
        await Wait.UntilAsync(static () => StreamScript.Received("implicit-kafka", "other").Length > 0, "the other stream's event");
        Assert.Equal([100], StreamScript.Received("implicit-kafka", "other"));
        var partition = Partitioning.Murmur2Partitioner.ForKey("k"u8, 4);
        var read = await ClientProgram.JavaAsync("org.apache.kafka.tools.consumer.ConsoleConsumer",
            [.. servers, "--partition", $"{partition}", "--offset", "earliest", "--max-messages", "3",
            "--formatter-property", "print.key=true", "--formatter-property", "key.separator=="]);
        Assert.Equal(["""k={"number":1}""", """k={"number":2}""", """k={"number":3}"""],
            read.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(static line => line.StartsWith("k=", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Event_that_is_no_JSON_is_dead_lettered_and_later_ones_of_AMQP_come()
    {
        await PublishAfterCreateAsync("implicit-broken", "k", "no JSON");
        await PublishAsync("amq.topic/implicit-broken", "k", """{"number":2}""");
        await ReceivedAsync("implicit-broken", null, 2);
        await Wait.UntilAsync(async () => (await _silo.Inside.ListTopicsAsync()).Any(static topic => topic.Name
            == "implicit-broken.dead-letter"), "the dead-letter topic");
        await ConsumeAsync("amq.topic/implicit-broken.dead-letter", "first");
        await DeliveredAsync(("k", "no JSON"));
    }

    private async Task PublishAfterCreateAsync(string topic, string key, string body)
    {
        await _client.Admin.CreateTopicAsync(topic, 1);
        await PublishAsync($"amq.topic/{topic}", key, body);
    }

    private static async Task ProduceOverHttpAsync(HttpClient http, int number)
    {
        var line = JsonSerializer.Serialize(new { key = "k", value = JsonSerializer.Serialize(new { number }) });
        using var answer = await http.PostAsync(new Uri("/api/topics/implicit-http/records", UriKind.Relative),
            new StringContent(line + "\n"));
        Assert.True(answer.IsSuccessStatusCode, await answer.Content.ReadAsStringAsync());
    }

    private Task<TestSilo> StartAsync(StreamFormat format) => TestSilo.StartAsync(_data.Path, silo => silo
        .AddAmqp(static options => options with { Listen = AnyPort })
        .AddHttp(static options => options with { Listen = AnyPort })
        .AddKafka(static options => options with { Listen = AnyPort })
        .AddOrleansMqStreams("test", options => options with
        {
            Format = format,
            MaxAttempts = 3,
            RetryDelay = TimeSpan.FromMilliseconds(20),
            RefreshInterval = TimeSpan.FromMilliseconds(100),
        }), static client => client.AddOrleansMqStreams("test"));

    private async Task ConnectAsync()
    {
        _client = new OrleansMqClient(_silo.Inside);
        _connection = await new ConnectionFactory { HostName = "127.0.0.1", Port = GatewayOf("amqp").EndPoint.Port }
            .CreateConnectionAsync();
        _channel = await _connection.CreateChannelAsync(new CreateChannelOptions(publisherConfirmationsEnabled: true,
            publisherConfirmationTrackingEnabled: true));
    }

    private IGateway GatewayOf(string name) => _silo.Services.GetServices<IGateway>().Single(gateway => gateway.Name == name);

    private Task PublishAsync(string queue, string? key, string body) => PublishAsync(queue, key, Encoding.UTF8.GetBytes(body));

    private async Task PublishAsync(string queue, string? key, byte[] body) => await _channel.BasicPublishAsync("", queue, true,
        new BasicProperties
        {
            Persistent = true,
            ContentType = "application/json",
            Headers = key is null ? null : new Dictionary<string, object?> { ["x-record-key"] = key },
        }, body);

    private async Task ConsumeAsync(string queue, string offset)
    {
        var channel = await _connection.CreateChannelAsync();
        await channel.BasicQosAsync(0, 10, false);
        var consumer = new AsyncEventingBasicConsumer(channel);
        consumer.ReceivedAsync += async (_, one) =>
        {
            object? key = null;
            one.BasicProperties.Headers?.TryGetValue("x-record-key", out key);
            _delivered.Enqueue((key is byte[] text ? Encoding.UTF8.GetString(text) : null, Encoding.UTF8.GetString(one.Body.Span)));
            await channel.BasicAckAsync(one.DeliveryTag, false);
        };
        await channel.BasicConsumeAsync(queue, false, "", false, false, new Dictionary<string, object?> { ["x-stream-offset"] = offset },
            consumer);
    }

    private async Task DeliveredAsync(params (string? Key, string Body)[] expected)
    {
        await Wait.UntilAsync(() => Task.FromResult(_delivered.Count >= expected.Length), $"{expected.Length} deliveries",
            () => Task.FromResult(string.Join(' ', _delivered)));
        Assert.Equal(expected, _delivered);
        _delivered.Clear();
    }

    private static async Task ReceivedAsync(string topic, IReaderGrain? reader, params int[] expected)
    {
        int[] Now() => reader is null ? StreamScript.Received(topic, "k")
            : StreamScript.Received(topic, "k", reader.GetGrainId().ToString());
        await Wait.UntilAsync(() => Task.FromResult(Now().Length >= expected.Length), $"{expected.Length} events of {topic}",
            () => Task.FromResult($"received: {string.Join(' ', Now())}"));
        Assert.Equal(expected, Now());
    }
}

public interface IPublisherGrain : IGrainWithIntegerKey
{
    Task PublishAsync(string topic, string key, Happened happened);
}

/// <summary>Publishes to any stream.</summary>
public sealed class PublisherGrain : Grain, IPublisherGrain
{
    public Task PublishAsync(string topic, string key, Happened happened) =>
        this.GetStreamProvider("test").GetStream<Happened>(topic, key).OnNextAsync(happened);
}

public interface ITypedReaderGrain : IGrainWithStringKey
{
    Task SubscribeAsync(string type);
    Task<object?> FindAsync();
}

/// <summary>Subscribes to the stream of its key in the topic "typed", as one of a type.</summary>
public sealed class TypedReaderGrain : Grain, ITypedReaderGrain
{
    private object? _last;

    public Task SubscribeAsync(string type) => type switch
    {
        "String" => SubscribeAsync<string>(),
        "Byte[]" => SubscribeAsync<byte[]>(),
        _ => SubscribeAsync<int>(),
    };

    public Task<object?> FindAsync() => Task.FromResult(_last);

    private Task SubscribeAsync<T>() => this.GetStreamProvider("test").GetStream<T>("typed", this.GetPrimaryKeyString())
        .SubscribeAsync((item, _) =>
        {
            _last = item;
            return Task.CompletedTask;
        });
}
