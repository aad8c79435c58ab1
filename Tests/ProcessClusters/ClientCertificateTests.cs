using System.Globalization;
using Confluent.Kafka;
using OrleansMq.Tests.ProcessClusters.Steady;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;
using KafkaError = Confluent.Kafka.ErrorCode;
using KafkaPartition = Confluent.Kafka.TopicPartition;

namespace OrleansMq.Tests.ProcessClusters;

/// <summary>Third-party Kafka clients that log in by their certificates, at three silos that enforce rules, while the certificates of the
/// silos and the authority of the clients are replaced.</summary>
public sealed class ClientCertificateTests
{
    // TopicAuthorizationException, TopicAuthorizationFailedError, Topic authorization failed.
    private const string Unauthorized = "(?i)topic ?authorization";

    [SkippableFact]
    public async Task Certificate_is_the_clients_name_at_each_silo_until_its_authority_is_replaced()
    {
        Librdkafka.Require();
        await using var cluster = await CertificateCluster.UpAsync();
        var certificates = cluster.Certificates;
        var (first, second) = (Alice(certificates, certificates.First), Alice(certificates, certificates.Second));
        await cluster.CreateTopicAsync("numbers");
        await cluster.AllowAliceAsync("numbers");
        foreach (var silo in cluster.KafkaOfEach)
        {
            await AssertAcknowledgedAsync(OneRecord.ConfluentAsync(silo, "numbers", first));
            await AssertUnauthorizedAsync(OneRecord.ConfluentAsync(silo, "numbers", Bob(certificates)));
            foreach (var stranger in (CertificateLogin[])[second, .. Strangers(certificates)])
                await AssertNoHandshakeAsync(cluster, () => OneRecord.ConfluentAsync(silo, "numbers", stranger));
        }
        Assert.Contains(Assert.Throws<ConsumeException>(() => Read(cluster.Kafka, Bob(certificates), 1)).Error.Code,
            (KafkaError[])[KafkaError.TopicAuthorizationFailed, KafkaError.GroupAuthorizationFailed]);

        // The producer is connected with each silo before the certificates are replaced, and writes on while they are.
        var config = new ProducerConfig { BootstrapServers = cluster.Kafka, EnableIdempotence = true };
        first.AddTo(config);
        using var producer = new ProducerBuilder<Null, string>(config).Build();
        var written = 0;
        await WriteAsync();
        certificates.Admit(certificates.Second);
        certificates.Serve(certificates.Second);
        var formerAdmin = cluster.Admin;
        cluster.Admin = certificates.OfClient(certificates.Second, "Admin");
        var taken = cluster.CertificatesTakenAsync();
        while (!taken.IsCompleted)
        {
            await WriteAsync();
            await Task.Delay(50);
        }
        await taken;
        await WriteAsync();
        foreach (var silo in cluster.KafkaOfEach)
        {
            await AssertAcknowledgedAsync(OneRecord.ConfluentAsync(silo, "numbers", second));
            await AssertNoHandshakeAsync(cluster, () => OneRecord.ConfluentAsync(silo, "numbers", first));
        }
        Assert.NotEqual(0, (await cluster.OmqAsAsync(formerAdmin, "topic", "list")).ExitCode);
        var ones = 2 * cluster.KafkaOfEach.Count();
        Assert.Equal(Enumerable.Range(0, written).Select(static number => $"{number}").Concat(Enumerable.Repeat("one", ones))
            .Order(StringComparer.Ordinal), Read(cluster.Kafka, second, written + ones).Order(StringComparer.Ordinal));
        Assert.Equal(written + ones, await cluster.CountAsync("numbers"));

        async Task WriteAsync()
        {
            for (var partition = 0; partition < 3; partition++)
            {
                await producer.ProduceAsync(new KafkaPartition("numbers", partition),
                    new Message<Null, string> { Value = written.ToString(CultureInfo.InvariantCulture) });
                written++;
            }
        }
    }

    private static CertificateLogin Alice(ClusterCertificates certificates, TestAuthority authority) =>
        new(certificates.Trusted, certificates.OfClient(authority, "Alice"));

    // Has no rule.
    private static CertificateLogin Bob(ClusterCertificates certificates) =>
        new(certificates.Trusted, certificates.OfClient(certificates.First, "Bob"));

    // Of an authority that is not admitted, without a certificate, with one that has no name.
    private static CertificateLogin[] Strangers(ClusterCertificates certificates) =>
    [
        new(certificates.Trusted, certificates.OfClient(certificates.Foreign, "Alice")), new(certificates.Trusted, null),
        new(certificates.Trusted, certificates.OfClient(certificates.First, "Alice", unit: "Guests")),
    ];

    private static async Task AssertAcknowledgedAsync(Task<OneRecord> writing)
    {
        var one = await writing;
        Assert.True(one.IsAcknowledged, one.Said);
    }

    private static async Task AssertUnauthorizedAsync(Task<OneRecord> writing)
    {
        var one = await writing;
        Assert.False(one.IsAcknowledged, one.Said);
        Assert.Matches(Unauthorized, one.Said);
    }

    private static async Task AssertNoHandshakeAsync(CertificateCluster cluster, Func<Task<OneRecord>> writeAsync)
    {
        var before = await cluster.FailedHandshakesAsync();
        var one = await writeAsync();
        Assert.False(one.IsAcknowledged, one.Said);
        Assert.DoesNotMatch(Unauthorized, one.Said);
        // The client learns it first.
        await RunningCluster.UntilAsync(cluster.FailedHandshakesAsync, failed => failed > before, $"a failed handshake: {one.Said}");
    }

    private static List<string> Read(string brokers, CertificateLogin login, int count)
    {
        var config = new ConsumerConfig { BootstrapServers = brokers, GroupId = "numbers", AutoOffsetReset = AutoOffsetReset.Earliest };
        login.AddTo(config);
        using var consumer = new ConsumerBuilder<Ignore, string>(config).Build();
        consumer.Subscribe("numbers");
        var read = new List<string>();
        while (read.Count < count)
            read.Add((consumer.Consume(RunningProgram.Patience) ?? throw new TimeoutException("No record came.")).Message.Value);
        consumer.Close();
        return read;
    }
}
