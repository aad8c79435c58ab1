using System.Security.Cryptography.X509Certificates;
using System.Text;
using Confluent.Kafka;
using OrleansMq.Cli.Clusters;
using OrleansMq.Tests.ProcessClusters.Steady;

namespace OrleansMq.Tests.ProcessClusters;

/// <summary>Third-party Kafka clients with a login over TLS, while the certificates of a cluster of three silos are replaced, and then the
/// clients' password.</summary>
public sealed class SecuredClientTests
{
    private const int Records = 2000;
    private const string First = "the first password";
    private const string Second = "the second password";

    private static readonly string[] s_clients = ["Confluent.Kafka", "kafka-python", "kcat", "java"];

    [SkippableTheory]
    [Trait("Category", "Long")]
    [InlineData("PLAIN")]
    [InlineData("SCRAM-SHA-256")]
    [InlineData("SCRAM-SHA-512")]
    public async Task Clients_lose_no_record_while_certificates_are_replaced_and_go_on_with_another_password(string mechanism)
    {
        await using var cluster = await RunningCluster.UpAsync(3, "--secure");
        var (authority, asAdmin) = (cluster.Authority, cluster.AsAdmin);
        await OmqAsync("acl", "add", "User:alice", "read,write", "topic:numbers-", "--prefixed");
        await OmqAsync("acl", "add", "User:alice", "read", "group:numbers-", "--prefixed");
        await AddUserAsync(First);
        var clients = new List<SteadyClient>();
        try
        {
            foreach (var client in s_clients)
                clients.Add(await StartAsync(client, client, First));
            foreach (var client in clients)
                await client.UnderWayAsync();
            var security = LocalSecurity.Open(cluster.Data, isWanted: true)!;
            foreach (var broker in cluster.Brokers.Keys)
                security.CertificateOf(broker);
            await CertificatesTakenAsync();
            foreach (var client in clients)
                await client.EndAsync();
        }
        finally
        {
            foreach (var client in clients)
                await client.DisposeAsync();
        }
        await AddUserAsync(Second);
        Assert.Throws<KafkaException>(() => Topics(First));
        Assert.Equal(s_clients.Length, Topics(Second));
        await using (var next = await StartAsync("kcat", "next", Second))
        {
            await next.UnderWayAsync();
            await next.EndAsync();
        }
        foreach (var client in s_clients.Append("next"))
        {
            var stored = await cluster.StoredAsync($"numbers-{client}", asAdmin);
            Assert.Equal(Enumerable.Range(0, Records).Select(static number => $"{number}").Order(StringComparer.Ordinal),
                (client == SteadyClient.AtLeastOnce ? stored.Distinct() : stored).Order(StringComparer.Ordinal));
        }

        int Topics(string password)
        {
            var config = new AdminClientConfig { BootstrapServers = cluster.Kafka };
            LoginOf(password).AddTo(config);
            using var admin = new AdminClientBuilder(config).SetLogHandler(static (_, _) => { }).Build();
            return admin.GetMetadata(TimeSpan.FromSeconds(password == First ? 3 : 60)).Topics.Count;
        }

        PasswordLogin LoginOf(string password) => new(authority, mechanism, "alice", password);

        async Task<SteadyClient> StartAsync(string client, string name, string password)
        {
            var topic = $"numbers-{name}";
            await OmqAsync("topic", "create", topic, "--partitions", "3", "--replication-factor", "3");
            return await SteadyClient.All[client](new SteadyTarget(cluster.Kafka, topic, Records, LoginOf(password)));
        }

        async Task AddUserAsync(string password) =>
            (await cluster.OmqAsync(["user", "add", "alice", .. asAdmin], Encoding.UTF8.GetBytes(password + "\n"))).Expect(0);

        // What was connected before keeps its certificate; a new connection shows the new one.
        async Task CertificatesTakenAsync()
        {
            foreach (var (id, broker) in cluster.Brokers)
            {
                var file = Path.Combine(cluster.Data, "secure", $"broker-{id}.pem");
                using var wanted = X509Certificate2.CreateFromPem(await File.ReadAllTextAsync(file));
                await RunningCluster.UntilAsync(() => ServerThumbprint.OfAsync(broker.GetProperty("kafka").GetString()!),
                    shown => shown == wanted.Thumbprint, $"the new certificate of broker {id}");
            }
        }

        async Task OmqAsync(params string[] arguments) => (await cluster.OmqAsync([.. arguments, .. asAdmin])).Expect(0);
    }
}
