using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using OrleansMq.Cli.Clusters;
using OrleansMq.Tests.ProcessClusters.Steady;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.ProcessClusters;

/// <summary>Third-party Kafka clients with a login over TLS, which write and read while the certificates of a cluster of three silos are
/// replaced, and then what the clients log in with: their password, or the key of the tokens' issuer.</summary>
public sealed class SecuredClientTests : IDisposable
{
    private const string Tokens = "OAUTHBEARER";
    private const int Records = 2500;
    private const int Partitions = 3;

    // Before the first record, before the login is changed, and after that.
    private static readonly int[] s_holds = [0, 1500, 2000];

    private static readonly string[] s_clients = ["Confluent.Kafka", "kafka-python", "java", "kcat"];

    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("omq-tokens-");
    private readonly TokenIssuer _firstIssuer = new("first");
    private readonly TokenIssuer _secondIssuer = new("second");

    private string Keys => Path.Combine(_directory.FullName, "keys.json");

    [SkippableTheory]
    [Trait("Category", "Long")]
    [InlineData("PLAIN")]
    [InlineData("SCRAM-SHA-256")]
    [InlineData("SCRAM-SHA-512")]
    [InlineData(Tokens)]
    public async Task Clients_lose_no_record_while_certificates_are_replaced_and_their_login_is_changed(string mechanism)
    {
        await File.WriteAllTextAsync(Keys, _firstIssuer.Keys);
        await using var cluster = await RunningCluster.UpAsync(3, "--secure", "--", "--oauthbearer-jwks", Keys,
            "--oauthbearer-issuer", TokenIssuer.Issuer, "--oauthbearer-audience", TokenIssuer.Audience);
        var (authority, asAdmin) = (cluster.Authority, cluster.AsAdmin);
        var (first, second) = (LoginOf("first", _firstIssuer), LoginOf("second", _secondIssuer));
        // kcat has no way to take a token: librdkafka asks the program for it, or was not built with OIDC.
        var names = mechanism == Tokens ? s_clients[..^1] : s_clients;
        await OmqAsync("acl", "add", "User:alice", "read,write", "topic:numbers-", "--prefixed");
        await OmqAsync("acl", "add", "User:alice", "read", "group:numbers-", "--prefixed");
        await cluster.DecidedAsync(isAllowed: true, "User:alice", "read", "group:numbers-");
        await SetLoginAsync(first);
        // Some clients give up at a refused login.
        await AcceptedAsync(first);
        var clients = new Dictionary<string, SteadyClient>();
        try
        {
            foreach (var name in names)
                clients[name] = await StartAsync(name, name, first, s_holds);
            foreach (var (name, client) in clients)
                await AssignedAsync(name, client);
            foreach (var client in clients.Values)
                client.GoOn();
            foreach (var client in clients.Values)
                await client.UnderWayAsync();
            var security = LocalSecurity.Open(cluster.Data, isWanted: true)!;
            foreach (var broker in cluster.Brokers.Keys)
                security.CertificateOf(broker);
            await CertificatesTakenAsync();

            // Each client has written and read every partition, and so has the connections that it needs: a new one would be refused.
            foreach (var client in clients.Values)
                await client.ReadAsync(s_holds[1]);
            foreach (var client in clients.Values)
                client.GoOn();
            await SetLoginAsync(second);
            await LoginChangedAsync();
            foreach (var client in clients.Values)
                client.GoOn();
            foreach (var client in clients.Values)
                await client.EndAsync();
        }
        finally
        {
            foreach (var client in clients.Values)
                await client.DisposeAsync();
        }
        await using (var next = await StartAsync(names[^1] == "kcat" ? "kcat" : "Confluent.Kafka", "next", second, []))
        {
            await next.UnderWayAsync();
            await next.EndAsync();
        }
        foreach (var name in names.Append("next"))
        {
            var stored = await cluster.StoredAsync($"numbers-{name}", asAdmin);
            Assert.Equal(Enumerable.Range(0, Records).Select(static number => $"{number}").Order(StringComparer.Ordinal),
                (name == SteadyClient.AtLeastOnce ? stored.Distinct() : stored).Order(StringComparer.Ordinal));
        }

        SteadyLogin LoginOf(string name, TokenIssuer issuer)
        {
            if (mechanism != Tokens)
                return new PasswordLogin(authority, mechanism, "alice", $"the {name} password");
            var expires = DateTime.UtcNow.AddHours(1);
            var (token, file) = (issuer.Issue("alice", expires), Path.Combine(_directory.FullName, name));
            File.WriteAllText(file, token);
            return new TokenLogin(authority, "alice", token, file, expires);
        }

        async Task<SteadyClient> StartAsync(string client, string name, SteadyLogin login, int[] holds)
        {
            var topic = $"numbers-{name}";
            await OmqAsync("topic", "create", topic, "--partitions", $"{Partitions}", "--replication-factor", "3");
            return await SteadyClient.All[client](new SteadyTarget(cluster.Kafka, topic, Records, login) { Holds = holds });
        }

        // From then on only this login is good for new connections.
        async Task SetLoginAsync(SteadyLogin login)
        {
            if (login is PasswordLogin { Password: var password })
            {
                (await cluster.OmqAsync(["user", "add", "alice", .. asAdmin], Encoding.UTF8.GetBytes(password + "\n"))).Expect(0);
                return;
            }
            await File.WriteAllTextAsync(Keys + ".new", (login == first ? _firstIssuer : _secondIssuer).Keys);
            File.Move(Keys + ".new", Keys, overwrite: true);
        }

        // All partitions are assigned, to all members of the client's group.
        Task AssignedAsync(string name, SteadyClient client) => RunningCluster.UntilAsync(async () =>
            {
                var described = await cluster.OmqAsync(["group", "describe", $"numbers-{name}", "--json", .. asAdmin]);
                // There is no such group before the first member joins.
                return described.ExitCode == 0 ? JsonSerializer.Deserialize<JsonElement>(described.Text).GetProperty("members")
                    .EnumerateArray().Select(static member => member.GetProperty("assignment").GetArrayLength()).ToArray() : [];
            },
            assigned => assigned.Length == client.Members && assigned.Sum() == Partitions && assigned.All(static count => count > 0),
            $"the members of the group of {name}");

        // A broker reads an issuer's keys again for a token of a key that it does not know, though not more often than each ten seconds.
        async Task LoginChangedAsync()
        {
            await AcceptedAsync(second);
            foreach (var (id, broker) in cluster.Brokers)
                Assert.False(await LoginAttempt.IsAcceptedAsync(broker.GetProperty("kafka").GetString()!, first),
                    $"Broker {id} accepts the login from before the change.");
        }

        async Task AcceptedAsync(SteadyLogin login)
        {
            foreach (var (id, broker) in cluster.Brokers)
                await RunningCluster.UntilAsync(() => LoginAttempt.IsAcceptedAsync(broker.GetProperty("kafka").GetString()!, login),
                    static accepted => accepted, $"the login at broker {id}");
        }

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

    public void Dispose()
    {
        _firstIssuer.Dispose();
        _secondIssuer.Dispose();
        _directory.Delete(recursive: true);
    }
}
