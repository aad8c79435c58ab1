using System.Buffers.Binary;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Hosting;
using OrleansMq.Tests.Shared;
using RabbitMQ.Client;

namespace OrleansMq.Tests.Cluster.Hosting;

/// <summary>A user's own silo opens gateways beside its grains.</summary>
public sealed class GatewayTests : IAsyncLifetime
{
    private static readonly IPEndPoint AnyPort = new(IPAddress.Loopback, 0);
    private static readonly TopicPartition Orders = new("orders", 0);

    private readonly TempDirectory _data = new();
    private TestSilo _silo = null!;

    public async Task InitializeAsync() => _silo = await TestSilo.StartAsync(_data.Path, static silo => silo
        .AddKafka(static options => options with { Listen = AnyPort })
        .AddAmqpManagement(static options => options with { Listen = AnyPort })
        .AddAmqp(static options => options with { Listen = AnyPort })
        .AddHttp(static options => options with { Listen = AnyPort }));

    public async Task DisposeAsync()
    {
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task Silo_with_gateways_serves_what_Http_produces_to_Kafka_and_to_grains()
    {
        using var http = new HttpBroker(new Uri(Gateway("http").Address));
        await http.CreateTopicAsync(new NewTopic("orders", 1));
        Assert.Equal(ErrorCode.None, (await http.ProduceAsync(Orders, TestBatches.Of("a", "b", "c"), Acks.All)).Error);

        Assert.Equal(3, await LatestOffsetOverKafkaAsync());
        using var read = await _silo.Inside.FetchAsync(new FetchRequest(Orders, 0));
        Assert.Equal(3, TestBatches.Read(read.Records).Count());
    }

    [Fact]
    public async Task Silo_with_gateways_serves_RabbitMQs_client_and_its_management_API()
    {
        var factory = new ConnectionFactory { HostName = "127.0.0.1", Port = Gateway("amqp").EndPoint.Port };
        await using var connection = await factory.CreateConnectionAsync();
        await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(publisherConfirmationsEnabled: true,
            publisherConfirmationTrackingEnabled: true));
        await channel.QueueDeclareAsync("work", durable: true, exclusive: false, autoDelete: false);
        await channel.BasicPublishAsync("", "work", mandatory: true, "message"u8.ToArray());
        using var management = new HttpClient { BaseAddress = new Uri(Gateway("amqp-management").Address) };
        management.DefaultRequestHeaders.Authorization = new("Basic", Convert.ToBase64String("guest:guest"u8));
        var queue = await management.GetFromJsonAsync<JsonElement>("/api/queues/%2F/work");
        Assert.Equal(1, queue.GetProperty("messages_ready").GetInt64());
        using var http = new HttpClient { BaseAddress = new Uri(Gateway("http").Address) };
        var metrics = (await http.GetStringAsync("/metrics")).Split('\n');
        Assert.Contains("rabbitmq_queue_messages_ready{vhost=\"/\",queue=\"work\"} 1", metrics);
        Assert.Contains("rabbitmq_global_messages_confirmed_total{protocol=\"amqp091\"} 1", metrics);
        Assert.Contains("rabbitmq_connections 1", metrics);
        Assert.Equal("message"u8.ToArray(), (await channel.BasicGetAsync("work", autoAck: true))!.Body.ToArray());
    }

    [Fact]
    public async Task Silo_with_gateways_reports_its_metrics()
    {
        using var client = new HttpClient { BaseAddress = new Uri(Gateway("http").Address) };
        Assert.Equal("ok", await client.GetStringAsync("/readyz"));
        var metrics = await client.GetStringAsync("/metrics");
        Assert.Contains("orleansmq_build_info{", metrics, StringComparison.Ordinal);
        Assert.Contains("orleansmq_kafka_connections", metrics, StringComparison.Ordinal);
        Assert.Contains("orleansmq_amqp_connections", metrics, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Silo_that_stops_closes_its_gateways()
    {
        var addresses = _silo.Services.GetServices<IGateway>().Select(static gateway => gateway.EndPoint).ToArray();
        await _silo.DisposeAsync();
        foreach (var address in addresses)
        {
            using var client = new TcpClient();
            await Assert.ThrowsAnyAsync<SocketException>(() => client.ConnectAsync(address));
        }
    }

    private IGateway Gateway(string name) => _silo.Services.GetServices<IGateway>().Single(gateway => gateway.Name == name);

    // ListOffsets, version 1: the response ends with the offset.
    private async Task<long> LatestOffsetOverKafkaAsync()
    {
        var request = new MemoryStream();
        void Write16(short value) => request.Write([(byte)(value >> 8), (byte)value]);
        void Write32(int value) { Write16((short)(value >> 16)); Write16((short)value); }
        void WriteText(string value) { Write16((short)value.Length); request.Write(Encoding.UTF8.GetBytes(value)); }
        Write16(2); // Key.
        Write16(1); // Version.
        Write32(7); // Correlation id.
        Write16(-1); // No client id.
        Write32(-1); // No replica.
        Write32(1);
        WriteText(Orders.Topic);
        Write32(1);
        Write32(Orders.Partition);
        Write32(-1); // The latest offset: -1, 64 bits.
        Write32(-1);

        using var client = new TcpClient();
        await client.ConnectAsync(Gateway("kafka").EndPoint);
        var stream = client.GetStream();
        var head = new byte[sizeof(int)];
        BinaryPrimitives.WriteInt32BigEndian(head, (int)request.Length);
        await stream.WriteAsync(head);
        await stream.WriteAsync(request.ToArray());
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        await stream.ReadExactlyAsync(head, deadline.Token);
        var response = new byte[BinaryPrimitives.ReadInt32BigEndian(head)];
        await stream.ReadExactlyAsync(response, deadline.Token);
        return BinaryPrimitives.ReadInt64BigEndian(response.AsSpan(response.Length - sizeof(long)));
    }
}
