using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Tls;
using OrleansMq.Testing;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Shared;
using OrleansMq.Tls;

namespace OrleansMq.Tests.Kafka.Tls;

/// <summary>A Kafka port with TLS, over bare connections.</summary>
public sealed class TlsListenerTests : IDisposable
{
    private const short Produce = 0, Fetch = 1, ApiVersions = 18;

    private static readonly TopicPartition _partition = new("orders", 0);

    private readonly TestCertificateFiles _files = new();

    public void Dispose() => _files.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Large_answers_hold_the_exact_bytes_of_the_log(bool onDisk)
    {
        var directory = onDisk ? Directory.CreateTempSubdirectory("omq-tls-data-").FullName : null;
        try
        {
            await using var server = await KafkaServer.StartAsync(options => options with { Tls = _files.Server() }, directory);
            await server.Broker.CreateTopicAsync(new NewTopic("orders", 1));
            for (var number = 0; number < 40; number++)
                await server.Broker.ProduceAsync(_partition, TestBatches.OfSize(100_000), Acks.All);
            using var client = await ConnectAsync(server);
            for (var number = 0; number < 8; number += 2)
            {
                await client.SendAsync(Frames.Of(Fetch, 12, number, ("FetchOffset", (long)number), ("MaxBytes", 50 << 20),
                    ("PartitionMaxBytes", 3 << 20)));
                await client.SendAsync(Frames.Of(ApiVersions, 0, number + 1));
            }
            for (var number = 0; number < 8; number += 2)
            {
                var response = (await client.ReceiveAsync())!;
                using var read = await server.Broker.FetchAsync(new FetchRequest(_partition, number, 3 << 20));
                Assert.InRange(read.Records.Length, 2 << 20, 3 << 20);
                Assert.True(response.AsSpan().IndexOf(read.Records.Span) > 0, "The sent bytes differ from the log.");
                Assert.Equal(number + 1, Frames.CorrelationId((await client.ReceiveAsync())!));
            }
        }
        finally
        {
            if (directory is not null)
                Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public async Task Large_and_small_requests_are_received()
    {
        await using var server = await KafkaServer.StartAsync(options => options with { Tls = _files.Server() });
        await server.Broker.CreateTopicAsync(new NewTopic("orders", 1));
        using var client = await ConnectAsync(server);
        // Sent at once: TLS divides them differently from the requests.
        var sizes = new[] { 100, 250_000, 16_384, 50, 20_000, 300, 500_000 };
        foreach (var size in sizes)
            await client.SendAsync(ProduceOf(TestBatches.OfSize(size)));
        foreach (var size in sizes)
        {
            var answer = MessageText.OfResponse(Schema.Response(Produce), 9, (await client.ReceiveAsync())!, 1);
            Assert.True(answer.Contains("ErrorCode: 0", StringComparison.Ordinal), $"{size}: {answer}");
        }
        using var read = await server.Broker.FetchAsync(new FetchRequest(_partition, 0, 50 << 20));
        Assert.Equal(sizes.Sum(static size => TestBatches.OfSize(size).Length), read.Records.Length);
    }

    [Fact]
    public async Task Client_certificate_names_the_client_to_the_authorizer_as_the_rules_say()
    {
        var principals = new ConcurrentDictionary<string, byte>();
        var options = _files.Server(ClientAuthentication.Requested) with { PrincipalMappingRules = "RULE:^CN=(.*?),.*$/$1/L,DEFAULT" };
        await using var server = await KafkaServer.StartAsync(change => change with { Tls = options },
            authorizer: new Recorder(principals));
        await server.Broker.CreateTopicAsync(new NewTopic("orders"));
        async Task<string> PrincipalAsync(X509Certificate2? certificate)
        {
            principals.Clear();
            using var client = await ConnectAsync(server, certificate);
            await client.SendAsync(ProduceOf(TestBatches.Of("x")));
            Assert.NotNull(await client.ReceiveAsync());
            return Assert.Single(principals.Keys);
        }
        Assert.Equal("User:alice", await PrincipalAsync(_files.Authority.IssueClient("O=Example,CN=Alice")));
        Assert.Equal("User:CN=bob", await PrincipalAsync(_files.Authority.IssueClient("CN=bob")));
        Assert.Equal(BrokerSession.Anonymous, await PrincipalAsync(null));
        // The second connection of a client may resume the session of the first.
        var carol = _files.Authority.IssueClient("CN=carol");
        Assert.Equal("User:CN=carol", await PrincipalAsync(carol));
        Assert.Equal("User:CN=carol", await PrincipalAsync(carol));
    }

    [Fact]
    public async Task Client_whose_certificate_is_missing_or_not_trusted_is_refused()
    {
        await using var server = await KafkaServer.StartAsync(options =>
            options with { Tls = _files.Server(ClientAuthentication.Required) with { PrincipalMappingRules = "RULE:CN=a.*/x/" } });
        using var other = new TestAuthority("Other root");
        await AssertRefusedAsync(server, null);
        Assert.Contains("the client has no certificate", Assert.Single(server.Log.Lines), StringComparison.Ordinal);
        await AssertRefusedAsync(server, other.IssueClient("CN=alice"));
        await AssertRefusedAsync(server, _files.Authority.IssueServer()); // Not the certificate of a client.
        await AssertRefusedAsync(server, _files.Authority.IssueClient("CN=bob")); // No rule matches.
        await AssertServedAsync(server, _files.Authority.IssueClient("CN=alice"));
        // A minute has one line.
        Assert.Single(server.Log.Lines);
        Assert.Equal(4, server.Gateway.Metrics.FailedHandshakes);
    }

    [Theory]
    [InlineData("the client's certificate 'CN=alice' is not trusted: ", true)]
    [InlineData("no principal mapping rule matches the certificate's subject 'CN=alice'", false)]
    public async Task Refused_client_is_logged_with_the_reason(string reason, bool isForeign)
    {
        await using var server = await KafkaServer.StartAsync(options =>
            options with { Tls = _files.Server(ClientAuthentication.Requested) with { PrincipalMappingRules = "RULE:CN=none/x/" } });
        using var other = new TestAuthority("Other root");
        await AssertRefusedAsync(server, (isForeign ? other : _files.Authority).IssueClient("CN=alice"));
        Assert.Contains(reason, Assert.Single(server.Log.Lines), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(SslProtocols.Tls12)]
    [InlineData(SslProtocols.Tls13)]
    public async Task Versions_are_limited_to_those_allowed(SslProtocols allowed)
    {
        await using var server = await KafkaServer.StartAsync(options =>
            options with { Tls = _files.Server() with { Protocols = allowed } });
        await using var client = await TlsClient.ConnectAsync(server.Gateway.EndPoint, _files.Authority.Certificate);
        Assert.Equal(allowed, client.SslProtocol);
    }

    [Fact]
    public async Task Client_gets_the_certificate_of_the_host_that_it_asks_for()
    {
        TlsCertificate[] certificates = [_files.Write(_files.Authority.IssueServer()),
            _files.Write(_files.Authority.IssueServer(["kafka.example.com"]), "named")];
        await using var server = await KafkaServer.StartAsync(options =>
            options with { Tls = new TlsOptions { Certificates = certificates } });
        foreach (var host in new[] { "localhost", "kafka.example.com" })
        {
            await using var client = await TlsClient.ConnectAsync(server.Gateway.EndPoint, _files.Authority.Certificate, host: host);
            Assert.Equal($"CN={host}", client.RemoteCertificate!.Subject);
        }
        await Assert.ThrowsAsync<AuthenticationException>(() =>
            TlsClient.ConnectAsync(server.Gateway.EndPoint, _files.Authority.Certificate, host: "other.example.com"));
    }

    [Fact]
    public async Task Intermediate_authorities_are_sent()
    {
        using var intermediate = new TestAuthority("Test intermediate", _files.Authority);
        var certificate = intermediate.IssueServer();
        var chain = _files.Write("chain.pem", certificate.ExportCertificatePem() + "\n" + intermediate.Pem);
        var options = new TlsOptions
        {
            Certificates = [new TlsCertificate(chain) { KeyFile = _files.Write("chain.key", TestCertificateFiles.KeyOf(certificate)) }],
            ClientAuthentication = ClientAuthentication.Required,
            ClientAuthorities = _files.Write("clients.pem", _files.Authority.Pem + "\n" + intermediate.Pem),
        };
        await using var server = await KafkaServer.StartAsync(change => change with { Tls = options });
        await AssertServedAsync(server, intermediate.IssueClient("CN=alice"));
    }

    [Fact]
    public async Task Clients_that_send_nothing_or_a_part_hold_up_nobody_and_are_closed()
    {
        var time = new ManualTimeProvider();
        await using var server = await KafkaServer.StartAsync(options => options with { Tls = _files.Server(), TimeProvider = time });
        var silent = new List<TcpClient>();
        for (var number = 0; number < 50; number++)
        {
            var client = new TcpClient();
            await client.ConnectAsync(server.Gateway.EndPoint);
            if (number % 2 == 0)
                await client.GetStream().WriteAsync(new byte[] { 0x16, 3, 1, 2, 0, 1 });
            silent.Add(client);
        }
        await KafkaServer.WaitUntilAsync(() => server.Gateway.Metrics.Connections == 50);
        await AssertServedAsync(server);
        Assert.Equal(0, server.Gateway.Metrics.FailedHandshakes);
        time.Advance(Handshakes.Deadline);
        foreach (var client in silent)
        {
            await AssertClosedAsync(client.GetStream());
            client.Dispose();
        }
        await KafkaServer.WaitUntilAsync(() => server.Gateway.Metrics.FailedHandshakes == 50);
        Assert.Contains("the TLS handshake was not complete after 10 s", Assert.Single(server.Log.Lines), StringComparison.Ordinal);
        await AssertServedAsync(server);
    }

    [Fact]
    public async Task Stop_does_not_wait_for_a_handshake()
    {
        await using var server = await KafkaServer.StartAsync(options =>
            options with { Tls = _files.Server(), TimeProvider = new ManualTimeProvider() });
        using var client = new TcpClient();
        await client.ConnectAsync(server.Gateway.EndPoint);
        await KafkaServer.WaitUntilAsync(() => server.Gateway.Metrics.Connections == 1);
        await server.Gateway.StopAsync(CancellationToken.None).WaitAsync(KafkaServer.Patience);
        Assert.Empty(server.Log.Lines);
    }

    [Fact]
    public async Task Client_without_TLS_is_closed_at_once_with_a_clear_line()
    {
        await using var server = await KafkaServer.StartAsync(options => options with { Tls = _files.Server() });
        using (var client = await server.ConnectAsync())
        {
            await client.SendAsync(Frames.Of(ApiVersions, 0, 1));
            Assert.Null(await client.ReceiveAsync());
        }
        await KafkaServer.WaitUntilAsync(() => server.Gateway.Metrics.FailedHandshakes == 1);
        var line = Assert.Single(server.Log.Lines);
        Assert.StartsWith("Warning: The Kafka connection from 127.0.0.1:", line, StringComparison.Ordinal);
        Assert.Contains("to listener SSL is closed: the client does not speak TLS", line, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(NoHellos.All), MemberType = typeof(NoHellos))]
    public async Task Client_whose_first_message_is_no_hello_is_closed_with_a_clear_line(string record)
    {
        await using var server = await KafkaServer.StartAsync(options => options with { Tls = _files.Server() });
        using (var client = await server.ConnectAsync())
        {
            await client.SendRawAsync(Convert.FromHexString(record));
            Assert.Null(await client.ReceiveAsync());
        }
        await KafkaServer.WaitUntilAsync(() => server.Gateway.Metrics.FailedHandshakes == 1);
        var line = Assert.Single(server.Log.Lines);
        Assert.StartsWith("Warning: ", line, StringComparison.Ordinal);
        Assert.Contains("the client's first message is no ClientHello", line, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Client_with_TLS_on_a_plain_port_is_closed_with_a_clear_line()
    {
        await using var server = await KafkaServer.StartAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => TlsClient.ConnectAsync(server.Gateway.EndPoint, _files.Authority.Certificate));
        await KafkaServer.WaitUntilAsync(() => server.Log.Lines.Count > 0);
        Assert.Contains("the client speaks TLS, which its listener PLAINTEXT does not", Assert.Single(server.Log.Lines),
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Program_that_only_looks_whether_the_port_is_open_is_no_fault()
    {
        await using var server = await KafkaServer.StartAsync(options => options with { Tls = _files.Server() });
        using (var client = new TcpClient())
            await client.ConnectAsync(server.Gateway.EndPoint);
        await KafkaServer.WaitUntilAsync(() => server.Gateway.Metrics.Connections == 0);
        Assert.Empty(server.Log.Lines);
        Assert.Equal(0, server.Gateway.Metrics.FailedHandshakes);
    }

    [Fact]
    public async Task Client_disconnecting_in_the_middle_is_no_fault()
    {
        await using var server = await KafkaServer.StartAsync(options => options with { Tls = _files.Server() });
        await server.Broker.CreateTopicAsync(new NewTopic("orders", 1));
        for (var number = 0; number < 40; number++)
            await server.Broker.ProduceAsync(_partition, TestBatches.OfSize(100_000), Acks.All);
        using (var client = await ConnectAsync(server))
        {
            for (var number = 0; number < 10; number++)
                await client.SendAsync(Frames.Of(Fetch, 12, number, ("FetchOffset", 0L), ("MaxBytes", 50 << 20),
                    ("PartitionMaxBytes", 4 << 20)));
            Assert.NotNull(await client.ReceiveAsync());
        }
        await KafkaServer.WaitUntilAsync(() => server.Gateway.Metrics.Connections == 0);
        Assert.Empty(server.Log.Lines);
    }

    [Fact]
    public async Task Connection_ends_with_the_word_of_TLS_for_it()
    {
        // Under TLS 1.3 the type of a record is encrypted.
        await using var server = await KafkaServer.StartAsync(options =>
            options with { Tls = _files.Server() with { Protocols = SslProtocols.Tls12 } });
        using var tcp = new TcpClient();
        await tcp.ConnectAsync(server.Gateway.EndPoint);
        var recorded = new RecordingStream(tcp.GetStream());
        await using var client = await TlsClient.ShakeHandsAsync(recorded, _files.Authority.Certificate);
        // The client's handshake may end before the server's does; an answer shows that both have.
        using var wire = new WireClient(tcp, client);
        await wire.SendAsync(Frames.Of(ApiVersions, 0, 1));
        Assert.NotNull(await wire.ReceiveAsync());
        var stopping = server.Gateway.StopAsync(CancellationToken.None);
        using var patience = new CancellationTokenSource(KafkaServer.Patience);
        Assert.Equal(0, await client.ReadAsync(new byte[1], patience.Token));
        await stopping;
        Assert.Equal(0x15, recorded.LastType); // An alert: close_notify.
    }

    [Fact]
    public async Task Open_connections_survive_a_new_certificate_and_new_ones_see_it()
    {
        var time = new ManualTimeProvider(DateTimeOffset.UtcNow);
        await using var server = await KafkaServer.StartAsync(options => options with { Tls = _files.Server(), TimeProvider = time });
        using var before = await ConnectAsync(server);
        using var next = new TestAuthority("Next root");
        _files.Write(next.IssueServer());
        time.Advance(WatchedCertificates.CheckInterval);
        await before.SendAsync(Frames.Of(ApiVersions, 0, 1));
        Assert.NotNull(await before.ReceiveAsync());
        await Assert.ThrowsAsync<AuthenticationException>(() =>
            TlsClient.ConnectAsync(server.Gateway.EndPoint, _files.Authority.Certificate));
        await using var after = await TlsClient.ConnectAsync(server.Gateway.EndPoint, next.Certificate);
    }

    [Fact]
    public async Task Authority_that_is_no_longer_trusted_admits_no_client_also_where_it_resumes()
    {
        var time = new ManualTimeProvider(DateTimeOffset.UtcNow);
        await using var server = await KafkaServer.StartAsync(options =>
            options with { Tls = _files.Server(ClientAuthentication.Required), TimeProvider = time });
        var alice = _files.Authority.IssueClient("CN=alice");
        await AssertServedAsync(server, alice);
        using var next = new TestAuthority("Next root");
        _files.Write("ca.pem", next.Pem);
        time.Advance(WatchedCertificates.CheckInterval);
        await AssertRefusedAsync(server, alice);
        await AssertServedAsync(server, next.IssueClient("CN=alice"));
    }

    [Fact]
    public async Task Authority_that_is_replaced_by_one_of_its_name_admits_clients_while_both_are_trusted()
    {
        using var next = new TestAuthority();
        var clients = _files.Server(ClientAuthentication.Required);
        _files.Write("ca.pem", next.Pem + "\n" + _files.Authority.Pem);
        await using var server = await KafkaServer.StartAsync(options => options with { Tls = clients });
        await AssertServedAsync(server, _files.Authority.IssueClient("CN=alice"));
        await AssertServedAsync(server, next.IssueClient("CN=alice"));
        using var other = new TestAuthority();
        await AssertRefusedAsync(server, other.IssueClient("CN=alice"));
    }

    [Fact]
    public async Task Authority_below_a_root_is_trusted_without_the_root()
    {
        using var below = new TestAuthority("Clients", _files.Authority);
        var clients = _files.Server(ClientAuthentication.Required);
        _files.Write("ca.pem", below.Pem);
        await using var server = await KafkaServer.StartAsync(options => options with { Tls = clients });
        await AssertServedAsync(server, below.IssueClient("CN=alice"));
        await AssertRefusedAsync(server, _files.Authority.IssueClient("CN=alice"));
        await AssertRefusedAsync(server, below.IssueServer()); // Not the certificate of a client.
        await AssertRefusedAsync(server, below.IssueClient("CN=alice", DateTimeOffset.UtcNow.AddHours(-1))); // Not valid any more.
        using var namesake = new TestAuthority("Clients", _files.Authority);
        await AssertRefusedAsync(server, namesake.IssueClient("CN=alice"));
    }

    private static byte[] ProduceOf(byte[] batch) => Frames.Of(Produce, 9, 1, ("Records", batch));

    [Fact]
    public async Task Handshakes_that_do_not_end_are_bounded_and_take_no_places_of_those_that_ended()
    {
        await using var server = await KafkaServer.StartAsync(options => options with { Tls = _files.Server(), MaxUnauthenticated = 1 });
        using var client = await ConnectAsync(server);
        await AskAsync();
        using TcpClient first = new(), second = new();
        await first.ConnectAsync(server.Gateway.EndPoint);
        await second.ConnectAsync(server.Gateway.EndPoint);
        using var patience = new CancellationTokenSource(KafkaServer.Patience);
        var ends = new[] { first, second }.Select(async one => await one.GetStream().ReadAsync(new byte[1], patience.Token)).ToArray();
        var ended = await Task.WhenAny(ends);
        Assert.Equal(0, await ended);
        Assert.Equal(1, ends.Count(static end => !end.IsCompleted));
        await AskAsync();

        async Task AskAsync()
        {
            await client.SendAsync(Frames.Of(ApiVersions, 0, 1));
            Assert.Equal(1, Frames.CorrelationId((await client.ReceiveAsync())!));
        }
    }

    private async Task<WireClient> ConnectAsync(KafkaServer server, X509Certificate2? certificate = null) =>
        new(new TcpClient(), await TlsClient.ConnectAsync(server.Gateway.EndPoint, _files.Authority.Certificate, certificate));

    private async Task AssertServedAsync(KafkaServer server, X509Certificate2? certificate = null)
    {
        await using var stream = await TlsClient.ConnectAsync(server.Gateway.EndPoint, _files.Authority.Certificate, certificate);
        using var client = new WireClient(new TcpClient(), stream);
        await client.SendAsync(Frames.Of(ApiVersions, 0, 1));
        Assert.NotNull(await client.ReceiveAsync());
    }

    // Under TLS 1.3 the client learns it with its first receive.
    private async Task AssertRefusedAsync(KafkaServer server, X509Certificate2? certificate)
    {
        var failed = server.Gateway.Metrics.FailedHandshakes;
        try
        {
            await using var stream = await TlsClient.ConnectAsync(server.Gateway.EndPoint, _files.Authority.Certificate, certificate);
            await AssertClosedAsync(stream);
        }
        catch (Exception refused) when (refused is AuthenticationException or IOException)
        {
            // The client learnt it during the handshake.
        }
        await KafkaServer.WaitUntilAsync(() => server.Gateway.Metrics.FailedHandshakes == failed + 1);
    }

    private static async Task AssertClosedAsync(Stream stream)
    {
        using var patience = new CancellationTokenSource(KafkaServer.Patience);
        try
        {
            Assert.Equal(0, await stream.ReadAsync(new byte[1], patience.Token));
        }
        catch (IOException)
        {
            // Reset, or an alert.
        }
    }

    /// <summary>Allows everything, and notes who asks.</summary>
    private sealed class Recorder(ConcurrentDictionary<string, byte> principals) : IAuthorizer
    {
        public int Version => 0;

        public bool Allows(BrokerSession session, AccessOperation operation, ResourceType type, string name)
        {
            principals[session.Principal] = 0;
            return true;
        }
    }
}
