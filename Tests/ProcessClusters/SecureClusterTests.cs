using System.Text;
using Confluent.Kafka;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.ProcessClusters;

/// <summary>A cluster as <c>omq cluster up --secure</c> runs it: TLS on every port, users and rules.</summary>
public sealed class SecureClusterTests
{
    private const string Password = "the password of alice";
    private const int Messages = 300;

    [SkippableFact]
    public async Task Records_survive_renewed_credentials_and_the_death_of_a_broker_and_nobody_else_gets_in()
    {
        Librdkafka.Require();
        var kcat = ClientProgram.Require("kcat");
        await using var cluster = await RunningCluster.UpAsync(3, "--secure");
        var (authority, asAdmin) = (cluster.Authority, cluster.AsAdmin);
        await OmqAsync("topic", "create", "orders", "--partitions", "3", "--replication-factor", "3");
        (await cluster.OmqAsync(["user", "add", "alice", .. asAdmin], Encoding.UTF8.GetBytes(Password + "\n"))).Expect(0);
        await OmqAsync("acl", "add", "User:alice", "read,write", "topic:orders");
        await OmqAsync("acl", "add", "User:alice", "read", "group:readers");
        // A broker that has read the last change has read the user and the other rule, too.
        await cluster.DecidedAsync(isAllowed: true, "User:alice", "read", "group:readers");

        // The file keeps the password out of kcat's arguments.
        await using (var list = new RunningProgram(kcat, ["-F", Path.Combine(Path.GetDirectoryName(authority)!, "kcat.conf"), "-b",
            cluster.Kafka, "-L"]))
            Assert.Contains("topic \"orders\" with 3 partitions", (await list.ExitAsync()).Expect(0).Text, StringComparison.Ordinal);

        // Without credentials, and without the authority.
        Assert.Contains("User:ANONYMOUS", (await cluster.OmqAsync(["topic", "create", "other", "--ca", authority])).Expect(1).Error,
            StringComparison.Ordinal);
        Assert.NotEqual(0, (await cluster.OmqAsync(["topic", "list"])).ExitCode);
        using (var plain = new AdminClientBuilder(new AdminClientConfig { BootstrapServers = cluster.Kafka })
            .SetLogHandler(static (_, _) => { }).Build())
            Assert.Throws<KafkaException>(() => plain.GetMetadata(TimeSpan.FromSeconds(3)));

        using (var producer = new ProducerBuilder<Null, string>(
            new ProducerConfig(ConfigOf(cluster, authority)) { EnableIdempotence = true }).Build())
        {
            for (var number = 0; number < Messages; number++)
            {
                // Other credentials of the same password: open connections stay, new ones are made by them.
                if (number == Messages / 3)
                    (await cluster.OmqAsync(["user", "add", "alice", .. asAdmin], Encoding.UTF8.GetBytes(Password + "\n"))).Expect(0);
                if (number == Messages / 2)
                    cluster.Kill(2);
                await producer.ProduceAsync("orders", new Message<Null, string> { Value = $"{number}" });
            }
        }
        Assert.Equal(Enumerable.Range(0, Messages), Read(ConfigOf(cluster, authority)).Order());

        // A rule that is taken back holds at every broker.
        await OmqAsync("acl", "remove", "User:alice", "write");
        await cluster.DecidedAsync(isAllowed: false, "User:alice", "write", "topic:orders");
        using var refused = new ProducerBuilder<Null, string>(new ProducerConfig(ConfigOf(cluster, authority))).Build();
        var error = await Assert.ThrowsAsync<ProduceException<Null, string>>(() =>
            refused.ProduceAsync("orders", new Message<Null, string> { Value = "no" }));
        Assert.Equal(Confluent.Kafka.ErrorCode.TopicAuthorizationFailed, error.Error.Code);

        async Task OmqAsync(params string[] arguments) => (await cluster.OmqAsync([.. arguments, .. asAdmin])).Expect(0);
    }

    private static List<int> Read(ClientConfig config)
    {
        using var consumer = new ConsumerBuilder<Ignore, string>(new ConsumerConfig(config)
        {
            GroupId = "readers",
            EnablePartitionEof = true,
            EnableAutoCommit = false,
        }).Build();
        consumer.Assign(Enumerable.Range(0, 3).Select(static partition => new TopicPartitionOffset("orders", partition, Offset.Beginning)));
        var read = new List<int>();
        for (var ended = 0; ended < 3;)
        {
            var next = consumer.Consume(RunningProgram.Patience) ?? throw new TimeoutException("No record and no end came.");
            if (next.IsPartitionEOF)
                ended++;
            else
                read.Add(int.Parse(next.Message.Value, System.Globalization.CultureInfo.InvariantCulture));
        }
        return read;
    }

    private static ClientConfig ConfigOf(RunningCluster cluster, string authority) => new()
    {
        BootstrapServers = cluster.Kafka,
        SecurityProtocol = SecurityProtocol.SaslSsl,
        SslCaLocation = authority,
        SaslMechanism = SaslMechanism.ScramSha512,
        SaslUsername = "alice",
        SaslPassword = Password,
    };
}
