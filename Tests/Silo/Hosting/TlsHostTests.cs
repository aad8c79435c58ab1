using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Security;
using OrleansMq.Silo.Configuration;
using OrleansMq.Silo.Hosting;
using OrleansMq.Silo.Logging;
using OrleansMq.Tests.Shared;
using OrleansMq.Tls;

namespace OrleansMq.Tests.Silo.Hosting;

/// <summary>A broker whose doors all speak TLS, with one certificate.</summary>
public sealed class TlsHostTests : IDisposable
{
    private readonly TestCertificateFiles _files = new();
    private readonly LogText _log = new();

    public void Dispose() => _files.Dispose();

    [Fact]
    public async Task Client_whose_first_message_is_no_hello_is_disconnected_by_every_door_and_is_no_error()
    {
        var source = _files.Write(_files.Authority.IssueServer());
        var settings = new BrokerSettings
        {
            DataDirectory = _files.PathOf("data"),
            Http = Secure,
            Kafka = Secure,
            KafkaListeners =
            [
                new KafkaListenerSetting("plain", new ListenAddress(IPAddress.Loopback, 0), SecurityProtocol.Plaintext, null),
                new KafkaListenerSetting("outside", new ListenAddress(IPAddress.Loopback, 0), SecurityProtocol.Ssl, "localhost:1"),
            ],
            Amqp = Secure,
            AmqpManagement = Secure,
            TlsCertificates = [source.File],
            TlsKeys = [source.KeyFile!],
        };
        await using var server = await BrokerServer.StartAsync(settings, new ConsoleLog(_log, LogLevel.Information, TimeProvider.System),
            static (_, options) => new StandaloneHost(options));
        string[] doors = [new Uri(server.Address).Authority, new Uri(server.AmqpManagementAddress!).Authority, server.AmqpAddress!];
        foreach (var (address, record) in from door in doors from record in NoHellos.Records select (door, record))
        {
            using var client = new TcpClient();
            using var patience = new CancellationTokenSource(RunningBroker.Patience);
            await client.ConnectAsync(IPEndPoint.Parse(address));
            await client.GetStream().WriteAsync(Convert.FromHexString(record));
            try
            {
                while (await client.GetStream().ReadAsync(new byte[100], patience.Token) > 0) { }
            }
            catch (IOException)
            {
                // Reset.
            }
        }
        using var http = Client();
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync(new Uri(server.Address + "/healthz"))).StatusCode);
        Assert.DoesNotContain("error", _log.ToString(), StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Every_door_speaks_TLS_and_reports_its_certificate()
    {
        var source = _files.Write(_files.Authority.IssueServer());
        var settings = new BrokerSettings
        {
            DataDirectory = _files.PathOf("data"),
            Http = Secure,
            Kafka = Secure,
            KafkaListeners =
            [
                new KafkaListenerSetting("plain", new ListenAddress(IPAddress.Loopback, 0), SecurityProtocol.Plaintext, null),
                new KafkaListenerSetting("outside", new ListenAddress(IPAddress.Loopback, 0), SecurityProtocol.Ssl, "localhost:1"),
            ],
            Amqp = Secure,
            AmqpManagement = Secure,
            TlsCertificates = [source.File],
            TlsKeys = [source.KeyFile!],
        };
        await using var server = await BrokerServer.StartAsync(settings, new ConsoleLog(_log, LogLevel.Information, TimeProvider.System),
            static (_, options) => new StandaloneHost(options));
        using var http = Client();
        Assert.StartsWith("https://127.0.0.1:", server.Address, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.OK, (await http.GetAsync(new Uri(server.Address + "/healthz"))).StatusCode);
        Assert.Equal(HttpStatusCode.Unauthorized, (await http.GetAsync(new Uri(server.AmqpManagementAddress! + "/api/whoami"))).StatusCode);
        var metrics = await http.GetStringAsync(new Uri(server.Address + "/metrics"));
        foreach (var protocol in new[] { "http", "kafka", "amqp" })
            Assert.Matches($"orleansmq_{protocol}_certificate_remaining_seconds{{file=\"[^\"]*server.pem\"}} 3\\d{{7}}", metrics);

        using var amqp = new TcpClient();
        await amqp.ConnectAsync(IPEndPoint.Parse(server.AmqpAddress!));
        await using var secured = new SslStream(amqp.GetStream());
        await secured.AuthenticateAsClientAsync(
            new SslClientAuthenticationOptions { TargetHost = "localhost", CertificateChainPolicy = Trust });
        await secured.WriteAsync("AMQP\0\0\t\u0001"u8.ToArray());
        var start = new byte[11];
        await secured.ReadExactlyAsync(start);
        Assert.Equal([1, 0, 0], start[..3]);
        Assert.Equal([0, 10, 0, 10], start[7..]); // connection.start
        Assert.DoesNotContain("error", _log.ToString(), StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Certificate_of_an_HTTP_client_names_it()
    {
        var seen = new HashSet<string>();
        var broker = new RunningBroker
        {
            Authorizer = new Recorder(seen),
            Settings = new BrokerSettings
            {
                Kafka = null,
                Http = Secure,
                TlsCertificates = [_files.Write("both.pem", Pem(_files.Authority.IssueServer()))],
                TlsClientAuth = ClientAuthentication.Requested,
                TlsClientCa = _files.AuthorityFile,
                TlsPrincipalMappingRules = "RULE:CN=(a.*)/$1/U",
                Authorization = AuthorizationMode.Off,
            },
        };
        await broker.InitializeAsync();
        try
        {
            async Task<string> PrincipalAsync(string? subject)
            {
                seen.Clear();
                using var http = Client(subject is null ? null : _files.Authority.IssueClient(subject));
                (await http.GetAsync(new Uri(broker.Server.Address + "/api/topics"))).EnsureSuccessStatusCode();
                using var named = await http.GetAsync(new Uri(broker.Server.Address + "/api/topics/none"));
                return Assert.Single(seen);
            }
            Assert.Equal("User:ALICE", await PrincipalAsync("CN=alice"));
            Assert.Equal(BrokerSession.Anonymous, await PrincipalAsync(null));
            await Assert.ThrowsAsync<HttpRequestException>(() => PrincipalAsync("CN=bob")); // No rule names it.
        }
        finally
        {
            await broker.DisposeAsync();
        }
    }

    [Theory]
    [InlineData(null)]
    [InlineData("User:CN=alice")]
    public async Task Certificates_of_clients_enforce_rules_and_a_missing_administrator_is_warned_of(string? superUser)
    {
        var broker = new RunningBroker
        {
            Settings = new BrokerSettings
            {
                Kafka = null,
                Http = Secure,
                TlsCertificates = [_files.Write("both.pem", Pem(_files.Authority.IssueServer()))],
                TlsClientAuth = ClientAuthentication.Requested,
                TlsClientCa = _files.AuthorityFile,
                SuperUsers = superUser is null ? [] : [superUser],
            },
        };
        await broker.InitializeAsync();
        try
        {
            async Task<HttpStatusCode> CreateAsync(string topic, X509Certificate2? certificate)
            {
                using var http = Client(certificate);
                using var body = RunningBroker.Json("{}");
                using var response = await http.PutAsync(new Uri($"{broker.Server.Address}/api/topics/{topic}"), body);
                return response.StatusCode;
            }
            Assert.Equal(superUser is null ? HttpStatusCode.Forbidden : HttpStatusCode.Created,
                await CreateAsync("orders", _files.Authority.IssueClient("CN=alice")));
            Assert.Equal(HttpStatusCode.Unauthorized, await CreateAsync("payments", null));
            Assert.Equal(superUser is null, broker.Log.Contains("WARN  broker: RULES ARE ENFORCED WITHOUT AN ADMINISTRATOR",
                StringComparison.Ordinal));
        }
        finally
        {
            await broker.DisposeAsync();
        }
    }

    [Fact]
    public async Task Client_library_connects_with_authorities_and_a_certificate_from_files()
    {
        var broker = new RunningBroker
        {
            Settings = new BrokerSettings
            {
                Kafka = null,
                Http = Secure,
                TlsCertificates = [_files.Write("both.pem", Pem(_files.Authority.IssueServer()))],
                TlsClientAuth = ClientAuthentication.Required,
                TlsClientCa = _files.AuthorityFile,
                Authorization = AuthorizationMode.Off,
            },
        };
        await broker.InitializeAsync();
        try
        {
            var alice = _files.Write(_files.Authority.IssueClient("CN=alice"), "alice");
            var options = new HttpBrokerOptions
            {
                CertificateAuthorities = _files.AuthorityFile,
                ClientCertificate = alice.File,
                ClientKey = alice.KeyFile,
            };
            using var client = new HttpBroker(new Uri(broker.Server.Address), options);
            await client.CreateTopicAsync(new NewTopic("orders"));
            using var nameless = new HttpBroker(new Uri(broker.Server.Address), options with { ClientCertificate = null });
            await Assert.ThrowsAnyAsync<BrokerException>(() => nameless.CreateTopicAsync(new NewTopic("more")).AsTask());
            using var trustless = new HttpBroker(new Uri(broker.Server.Address), options with { CertificateAuthorities = null });
            await Assert.ThrowsAnyAsync<BrokerException>(() => trustless.CreateTopicAsync(new NewTopic("more")).AsTask());
        }
        finally
        {
            await broker.DisposeAsync();
        }
        var missing = Assert.Throws<ArgumentException>(() => new HttpBroker(new Uri("https://localhost"),
            new HttpBrokerOptions { CertificateAuthorities = _files.PathOf("none") }));
        Assert.Contains("none' cannot be read", missing.Message, StringComparison.Ordinal);
        var mismatched = Assert.Throws<ArgumentException>(() => new HttpBroker(new Uri("https://localhost"),
            new HttpBrokerOptions { ClientCertificate = _files.AuthorityFile, ClientKey = _files.PathOf("alice.key") }));
        Assert.Contains("cannot be read with its key", mismatched.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Certificate_that_cannot_be_used_stops_the_start_with_the_reason()
    {
        var settings = new BrokerSettings
        {
            DataDirectory = _files.PathOf("data"),
            Http = Secure,
            TlsCertificates = [_files.PathOf("none")],
        };
        var refused = await Assert.ThrowsAsync<StartException>(() => BrokerServer.StartAsync(settings,
            new ConsoleLog(_log, LogLevel.Information, TimeProvider.System), static (_, options) => new StandaloneHost(options)));
        Assert.StartsWith("--tls-certificate: '", refused.Message, StringComparison.Ordinal);
        Assert.Contains("none' cannot be read", refused.Message, StringComparison.Ordinal);
    }

    private static ListenAddress Secure => new(IPAddress.Loopback, 0) { IsSecure = true };

    private X509ChainPolicy Trust => new()
    {
        TrustMode = X509ChainTrustMode.CustomRootTrust,
        CustomTrustStore = { _files.Authority.Certificate },
        RevocationMode = X509RevocationMode.NoCheck,
    };

    private static string Pem(X509Certificate2 certificate) =>
        certificate.ExportCertificatePem() + "\n" + TestCertificateFiles.KeyOf(certificate);

    private HttpClient Client(X509Certificate2? certificate = null) => new(new SocketsHttpHandler
    {
        SslOptions = new SslClientAuthenticationOptions
        {
            CertificateChainPolicy = Trust,
            LocalCertificateSelectionCallback = certificate is null ? null : (_, _, _, _, _) => certificate,
        },
    }) { Timeout = RunningBroker.Patience };

    /// <summary>Allows everything, and notes who asks.</summary>
    private sealed class Recorder(HashSet<string> seen) : IAuthorizer
    {
        public int Version => 0;

        public bool Allows(BrokerSession session, AccessOperation operation, ResourceType type, string name)
        {
            lock (seen)
                seen.Add(session.Principal);
            return true;
        }
    }
}
