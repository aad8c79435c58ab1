using Confluent.Kafka;
using OrleansMq.Api;
using OrleansMq.Testing;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;
using OrleansMq.Tls;
using KafkaPartition = Confluent.Kafka.TopicPartition;

namespace OrleansMq.Tests.Kafka.Tls;

/// <summary>Real Kafka clients over TLS.</summary>
public sealed class TlsClientTests : IDisposable
{
    private readonly TestCertificateFiles _files = new();

    public void Dispose() => _files.Dispose();

    [SkippableFact]
    public async Task Records_round_trip_with_a_client_certificate()
    {
        Librdkafka.Require();
        await using var server = await StartAsync(ClientAuthentication.Required);
        var config = Config(server);
        var alice = _files.Write(_files.Authority.IssueClient("CN=alice"), "alice");
        config.SslCertificateLocation = alice.File;
        config.SslKeyLocation = alice.KeyFile;
        using var producer = new ProducerBuilder<Null, byte[]>(new ProducerConfig(config) { MessageMaxBytes = 900_000 }).Build();
        var values = new[] { 10, 700_000, 1, 200_000 }.Select(static size => new byte[size]).ToArray();
        foreach (var value in values)
        {
            Random.Shared.NextBytes(value);
            await producer.ProduceAsync("orders", new Message<Null, byte[]> { Value = value });
        }
        using var consumer = Consumer(config);
        foreach (var value in values)
            Assert.Equal(value, consumer.Consume(KafkaServer.Patience)!.Message.Value);
    }

    [SkippableFact]
    public async Task No_record_is_lost_while_the_certificate_is_replaced()
    {
        Librdkafka.Require();
        var time = new ManualTimeProvider(DateTimeOffset.UtcNow);
        await using var server = await StartAsync(ClientAuthentication.None, time);
        const int rounds = 10, each = 200;
        using var producer = new ProducerBuilder<Null, byte[]>(new ProducerConfig(Config(server)) { LingerMs = 1 }).Build();
        for (var round = 0; round < rounds; round++)
        {
            _files.Write(_files.Authority.IssueServer());
            time.Advance(WatchedCertificates.CheckInterval);
            using var newcomer = new ProducerBuilder<Null, byte[]>(new ProducerConfig(Config(server))).Build();
            var sent = Enumerable.Range(0, each).Select(number => (number % 2 == 0 ? producer : newcomer)
                .ProduceAsync("orders", new Message<Null, byte[]> { Value = BitConverter.GetBytes((round * each) + number) })).ToArray();
            await Task.WhenAll(sent);
        }
        using var consumer = Consumer(Config(server));
        var read = new HashSet<int>();
        while (read.Count < rounds * each)
            Assert.True(read.Add(BitConverter.ToInt32(consumer.Consume(KafkaServer.Patience)!.Message.Value)), "A record came twice.");
        Assert.Equal(rounds, server.Log.Lines.Count(static line => line.Contains("New Kafka certificates", StringComparison.Ordinal)));
    }

    [SkippableFact]
    public async Task Kcat_reads_what_it_wrote()
    {
        await using var server = await StartAsync(ClientAuthentication.None);
        string[] tls = ["-b", server.Address, "-X", "security.protocol=ssl", "-X", $"ssl.ca.location={_files.AuthorityFile}"];
        var kcat = ClientProgram.Require("kcat");
        var lines = string.Concat(Enumerable.Range(0, 1000).Select(static number => $"{number}\n"));
        await ClientProgram.RunAsync(kcat, [.. tls, "-P", "-t", "orders"], lines);
        Assert.Equal(lines, await ClientProgram.RunAsync(kcat, [.. tls, "-C", "-t", "orders", "-o", "beginning", "-e", "-q"]));
    }

    [SkippableFact]
    public async Task Java_clients_connect_with_a_certificate()
    {
        ClientProgram.RequireKafka();
        await using var server = await StartAsync(ClientAuthentication.Required);
        var alice = _files.Authority.IssueClient("CN=alice,O=Example");
        var properties = _files.Write("client.properties", string.Join('\n', "security.protocol=SSL", "ssl.truststore.type=PEM",
            $"ssl.truststore.location={_files.AuthorityFile}", "ssl.keystore.type=PEM",
            $"ssl.keystore.location={_files.Write("alice.pem", TestCertificateFiles.KeyOf(alice) + "\n" + alice.ExportCertificatePem())}"));
        await ClientProgram.JavaAsync("org.apache.kafka.tools.ConsoleProducer",
            ["--bootstrap-server", server.Address, "--topic", "orders", "--command-config", properties], "one\ntwo\n");
        var read = await ClientProgram.JavaAsync("org.apache.kafka.tools.consumer.ConsoleConsumer", ["--bootstrap-server", server.Address,
            "--topic", "orders", "--from-beginning", "--max-messages", "2", "--command-config", properties]);
        Assert.Equal(["one", "two"], read.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order());
    }

    private async Task<KafkaServer> StartAsync(ClientAuthentication clients, TimeProvider? time = null)
    {
        var server = await KafkaServer.StartAsync(options =>
            options with { Tls = _files.Server(clients), TimeProvider = time ?? TimeProvider.System });
        await server.Broker.CreateTopicAsync(new NewTopic("orders"));
        return server;
    }

    private ClientConfig Config(KafkaServer server) => new()
    {
        BootstrapServers = server.Address,
        SecurityProtocol = Confluent.Kafka.SecurityProtocol.Ssl,
        SslCaLocation = _files.AuthorityFile,
    };

    private static IConsumer<Ignore, byte[]> Consumer(ClientConfig config)
    {
        var consumer = new ConsumerBuilder<Ignore, byte[]>(new ConsumerConfig(config) { GroupId = "unused" }).Build();
        consumer.Assign(new TopicPartitionOffset(new KafkaPartition("orders", 0), 0));
        return consumer;
    }
}
