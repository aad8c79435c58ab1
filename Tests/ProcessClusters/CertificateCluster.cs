using System.Globalization;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using System.Text.RegularExpressions;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Process.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.ProcessClusters;

/// <summary>Three silos that know clients by their certificates alone: TLS at the ports of Kafka and HTTP, certificates required, rules
/// enforced. <c>User:admin</c> may do everything.</summary>
internal sealed partial class CertificateCluster : IAsyncDisposable
{
    private const int Silos = 3;

    private readonly PostgreSqlFixture _database = new();
    private readonly TemporaryDirectory _directory = new();
    private readonly Dictionary<int, Silo> _silos = [];
    private string _connection = "";

    private CertificateCluster() => Admin = Certificates.OfClient(Certificates.First, "Admin");

    /// <summary>Its certificates.</summary>
    public ClusterCertificates Certificates { get; } = new();

    /// <summary>The file with the certificate of commands.</summary>
    public string Admin { get; set; }

    /// <summary>All addresses, for Kafka clients.</summary>
    public string Kafka => string.Join(',', KafkaOfEach);

    /// <summary>The address of each silo, for Kafka clients.</summary>
    public IEnumerable<string> KafkaOfEach => _silos.Values.Select(static silo => $"127.0.0.1:{silo.Kafka}");

    private string Servers => string.Join(',', _silos.Values.Select(AddressOf));

    /// <summary>Starts a cluster and waits until all silos serve. Skips the test if the machine has no PostgreSQL.</summary>
    public static async Task<CertificateCluster> UpAsync()
    {
        var cluster = new CertificateCluster();
        try
        {
            await cluster._database.InitializeAsync();
            cluster._connection = cluster._database.Server.ConnectionString();
            for (var id = 1; id <= Silos; id++)
                cluster._silos[id] = cluster.Start(
                    new Silo(id, FreePort.Choose(), FreePort.Choose(), FreePort.Choose(), FreePort.Choose()));
            foreach (var silo in cluster._silos.Values)
                await silo.ReadyAsync();
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>Waits until new connections of each silo and port get the present certificates. Authorities that were written before the
    /// brokers' certificate are read with it.</summary>
    public async Task CertificatesTakenAsync()
    {
        using var wanted = X509Certificate2.CreateFromPem(await File.ReadAllTextAsync(Certificates.OfBrokers));
        foreach (var silo in _silos.Values)
        {
            foreach (var address in (string[])[$"127.0.0.1:{silo.Kafka}", silo.Http.Authority])
                await RunningCluster.UntilAsync(() => ServerThumbprint.OfAsync(address), shown => shown == wanted.Thumbprint,
                    $"the new certificate at {address}");
        }
    }

    /// <summary>Runs a command as the administrator.</summary>
    public Task<Outcome> OmqAsync(params string[] arguments) => OmqAsAsync(Admin, arguments);

    /// <summary>Runs a command by that certificate.</summary>
    public Task<Outcome> OmqAsAsync(string certificate, params string[] arguments) =>
        RunningProgram.OmqAsync([.. arguments, "--server", Servers, .. LoginOf(certificate)]);

    /// <summary>Creates a topic of three partitions, and waits until each silo leads one of them.</summary>
    public async Task CreateTopicAsync(string topic)
    {
        (await OmqAsync("topic", "create", topic, "--partitions", $"{Silos}", "--replication-factor", $"{Silos}")).Expect(0);
        await RunningCluster.UntilAsync(() => PartitionsOfAsync(topic), static partitions =>
            partitions.Select(static one => one.GetProperty("leader").GetInt32()).Distinct().Count() == Silos, $"the leaders of {topic}");
    }

    /// <summary>Allows the user alice to write and read topics, and to read by groups, of that prefix. Returns when every silo has read the
    /// rules.</summary>
    public async Task AllowAliceAsync(string prefix)
    {
        (await OmqAsync("acl", "add", "User:alice", "read,write", $"topic:{prefix}", "--prefixed")).Expect(0);
        (await OmqAsync("acl", "add", "User:alice", "read", $"group:{prefix}", "--prefixed")).Expect(0);
        // A silo that has read the last rule has read the other one, too.
        foreach (var silo in _silos.Values)
            await RunningCluster.DecidedAsync(isAllowed: true, "User:alice", "read", $"group:{prefix}",
                ["--server", AddressOf(silo), .. LoginOf(Admin)]);
    }

    /// <summary>The number of records that are stored.</summary>
    public async Task<long> CountAsync(string topic) =>
        (await PartitionsOfAsync(topic)).Sum(static partition => partition.GetProperty("highWatermark").GetInt64());

    /// <summary>How many TLS handshakes with Kafka clients have failed, at all silos together.</summary>
    public async Task<long> FailedHandshakesAsync()
    {
        using var admin = X509Certificate2.CreateFromPemFile(Admin);
        using var client = new HttpClient(new SocketsHttpHandler
        {
            SslOptions = new SslClientAuthenticationOptions
            {
                LocalCertificateSelectionCallback = (_, _, _, _, _) => admin,
                RemoteCertificateValidationCallback = static (_, _, _, _) => true,
            },
        });
        var sum = 0L;
        foreach (var silo in _silos.Values)
            sum += long.Parse(FailedHandshakes().Match(await client.GetStringAsync(new Uri(silo.Http, "/metrics"))).Groups[1].Value,
                CultureInfo.InvariantCulture);
        return sum;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var silo in _silos.Values)
            await silo.Program!.DisposeAsync();
        await _database.DisposeAsync();
        _directory.Dispose();
        Certificates.Dispose();
    }

    private string[] LoginOf(string certificate) => ["--ca", Certificates.Trusted, "--client-certificate", certificate];

    private static string AddressOf(Silo silo) => silo.Http.GetLeftPart(UriPartial.Authority);

    private async Task<JsonElement[]> PartitionsOfAsync(string topic) =>
        [.. JsonSerializer.Deserialize<JsonElement>((await OmqAsync("topic", "describe", topic, "--json")).Expect(0).Text)
            .GetProperty("partitions").EnumerateArray()];

    private Silo Start(Silo silo) => silo with
    {
        Program = new RunningProgram(Repository.Launcher, ["up", "--json", "--flavour", "cluster", "--broker-id", $"{silo.Id}",
            "--data", _directory[$"{silo.Id}"], "--http", $"https://127.0.0.1:{silo.Http.Port}", "--kafka", $"127.0.0.1:{silo.Kafka},SSL",
            "--orleans-port", $"{silo.Orleans}", "--gateway-port", $"{silo.Gateway}", "--tls-certificate", Certificates.OfBrokers,
            "--tls-client-auth", "required", "--tls-client-ca", Certificates.Admitted,
            "--tls-principal-mapping-rules", ClusterCertificates.MappingRules, "--super-users", "User:admin"],
            environment: new Dictionary<string, string?> { ["OMQ_POSTGRES"] = _connection }),
    };

    [GeneratedRegex(@"^orleansmq_kafka_handshakes_failed_total (\d+)", RegexOptions.Multiline)]
    private static partial Regex FailedHandshakes();

    private sealed record Silo(int Id, int HttpPort, int Kafka, int Orleans, int Gateway)
    {
        public RunningProgram? Program { get; init; }

        public Uri Http { get; } = new($"https://127.0.0.1:{HttpPort}");

        public Task ReadyAsync() => Program!.LineAsync(static line => line.StartsWith('{'));
    }
}
