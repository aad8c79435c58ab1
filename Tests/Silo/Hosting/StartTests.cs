using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging;
using OrleansMq.Brokers;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Hosting;
using OrleansMq.Security;
using OrleansMq.Silo.Configuration;
using OrleansMq.Silo.Hosting;
using OrleansMq.Silo.Logging;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Silo.Hosting;

public sealed class StartTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("omq-start-").FullName;
    private readonly LogText _log = new();

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Broker_recovering_partitions_is_live_but_not_ready()
    {
        var settings = Settings(FreePort.Choose());
        var opened = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var starting = BrokerServer.StartAsync(settings, NewLog(), (_, options) => new SlowHost(options, opened.Task));
        using var http = new HttpClient { BaseAddress = new Uri($"http://{settings.Http}") };
        await ConnectAsync(settings.Http.Port);
        Assert.Equal("ok", await http.GetStringAsync("/healthz"));
        using (var ready = await http.GetAsync("/readyz"))
            await RunningBroker.AssertProblemAsync(ready, 503, ErrorCode.LeaderNotAvailable, "recovers");
        using (var topics = await http.GetAsync("/api/topics"))
        {
            await RunningBroker.AssertProblemAsync(topics, 503, ErrorCode.LeaderNotAvailable, "/readyz");
            Assert.Equal(TimeSpan.FromSeconds(1), topics.Headers.RetryAfter!.Delta);
        }
        Assert.Contains("orleansmq_partitions_online 0\n", await http.GetStringAsync("/metrics"), StringComparison.Ordinal);

        opened.SetResult();
        await using var server = await starting.WaitAsync(RunningBroker.Patience);
        Assert.Equal("ok", await http.GetStringAsync("/readyz"));
    }

    [Fact]
    public async Task Failed_start_leaves_the_directory_unlocked()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        var refused = await Assert.ThrowsAsync<StartException>(() =>
            BrokerServer.StartAsync(Settings(((IPEndPoint)taken.LocalEndpoint).Port), NewLog(), Standalone));
        Assert.Contains("in use", refused.Message, StringComparison.Ordinal);
        await using var server = await BrokerServer.StartAsync(Settings(0), NewLog(), Standalone);
    }

    [Fact]
    public async Task Amqp_and_its_management_API_are_served_at_the_bound_ports_and_warned_of_where_others_reach_them()
    {
        var all = new ListenAddress(IPAddress.Any, 0);
        var settings = Settings(0) with { Amqp = all, AmqpManagement = all };
        await using var server = await BrokerServer.StartAsync(settings, NewLog(), Standalone);
        Assert.Contains($"{server.AmqpAddress} unencrypted, since the gateway amqp has no TLS", _log.ToString(), StringComparison.Ordinal);
        Assert.Contains("unencrypted, since the gateway amqp-management has no TLS", _log.ToString(), StringComparison.Ordinal);
        using var client = new HttpClient();
        var port = new Uri(server.AmqpManagementAddress!.Replace("0.0.0.0", "127.0.0.1", StringComparison.Ordinal)).Port;
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri($"http://127.0.0.1:{port}/api/whoami"));
        request.Headers.Authorization = new("Basic", Convert.ToBase64String("guest:guest"u8));
        Assert.Contains("administrator", await (await client.SendAsync(request)).Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Kafka_port_in_use_is_named_with_the_flag_that_chooses_another()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        var port = ((IPEndPoint)taken.LocalEndpoint).Port;
        var settings = Settings(0) with { Kafka = new ListenAddress(IPAddress.Loopback, port) };
        var refused = await Assert.ThrowsAsync<StartException>(() => BrokerServer.StartAsync(settings, NewLog(), Standalone));
        Assert.Contains($"--kafka 127.0.0.1:{port}: the port is in use", refused.Message, StringComparison.Ordinal);
        Assert.Contains("--kafka off", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Unreachable_advertised_address_is_warned_of()
    {
        // Bound, but refuses connections.
        using var nobody = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        nobody.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var settings = Settings(0) with { Kafka = new ListenAddress(IPAddress.Loopback, 0),
            KafkaAdvertised = $"127.0.0.1:{((IPEndPoint)nobody.LocalEndPoint!).Port}" };
        await using var server = await BrokerServer.StartAsync(settings, NewLog(), Standalone);
        using var patience = new CancellationTokenSource(RunningBroker.Patience);
        while (!_log.ToString().Contains($"KAFKA CLIENTS ARE SENT TO {settings.KafkaAdvertised}", StringComparison.Ordinal))
            await Task.Delay(TimeSpan.FromMilliseconds(20), patience.Token);
    }

    [Fact]
    public async Task Kafka_clients_are_served_and_counted_at_the_bound_port()
    {
        await using var server = await BrokerServer.StartAsync(Settings(0) with { Kafka = new ListenAddress(IPAddress.Loopback, 0) },
            NewLog(), Standalone);
        using var patience = new CancellationTokenSource(RunningBroker.Patience);
        using var client = new TcpClient();
        await client.ConnectAsync(IPEndPoint.Parse(server.KafkaAddress!));
        // ApiVersions, version 0, correlation id 1, no client id.
        await client.GetStream().WriteAsync(new byte[] { 0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF });
        var head = new byte[10];
        await client.GetStream().ReadExactlyAsync(head, patience.Token);
        Assert.Equal([0, 0, 0, 1, 0, 0], head[4..]);
        // ApiVersions, version 3, correlation id 2, no client id; the client software is probe 1.2.
        using var named = new TcpClient();
        await named.ConnectAsync(IPEndPoint.Parse(server.KafkaAddress!));
        await named.GetStream()
            .WriteAsync((byte[])[0, 0, 0, 22, 0, 18, 0, 3, 0, 0, 0, 2, 0xFF, 0xFF, 0, 6, .. "probe"u8, 4, .. "1.2"u8, 0]);
        await named.GetStream().ReadExactlyAsync(head, patience.Token);
        Assert.Equal([0, 0, 0, 2, 0, 0], head[4..]);
        using var http = new HttpClient();
        var metrics = await http.GetStringAsync($"{server.Address}/metrics");
        Assert.Contains("orleansmq_kafka_connections 2\n", metrics, StringComparison.Ordinal);
        Assert.Contains("orleansmq_kafka_clients{name=\"probe\",version=\"1.2\"} 1\n", metrics, StringComparison.Ordinal);
        Assert.Contains("orleansmq_kafka_request_duration_seconds_count{request=\"ApiVersions\"} 2\n", metrics, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Kafka_requests_in_flight_have_the_memory_that_is_set()
    {
        var settings = Settings(0) with { Kafka = new ListenAddress(IPAddress.Loopback, 0), KafkaMaxInFlightBytes = 8_388_608 };
        await using var server = await BrokerServer.StartAsync(settings, NewLog(), Standalone);
        using var patience = new CancellationTokenSource(RunningBroker.Patience);
        using var client = new TcpClient();
        await client.ConnectAsync(IPEndPoint.Parse(server.KafkaAddress!));
        // DescribeConfigs, version 1, correlation id 1, no client id: one key of broker 0, without synonyms.
        await client.GetStream().WriteAsync((byte[])[0, 0, 0, 49, 0, 32, 0, 1, 0, 0, 0, 1, 0xFF, 0xFF, 0, 0, 0, 1, 4, 0, 1, .. "0"u8,
            0, 0, 0, 1, 0, 24, .. "queued.max.request.bytes"u8, 0]);
        var size = new byte[4];
        await client.GetStream().ReadExactlyAsync(size, patience.Token);
        var answer = new byte[BinaryPrimitives.ReadInt32BigEndian(size)];
        await client.GetStream().ReadExactlyAsync(answer, patience.Token);
        Assert.Contains("queued.max.request.bytes\0\u00078388608", Encoding.Latin1.GetString(answer), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Directory_in_use_is_named()
    {
        await using var server = await BrokerServer.StartAsync(Settings(0), NewLog(), Standalone);
        var refused = await Assert.ThrowsAsync<StartException>(() => BrokerServer.StartAsync(Settings(0), NewLog(), Standalone));
        Assert.Contains(_directory, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Cancelled_start_leaves_the_directory_unlocked()
    {
        using var giveUp = new CancellationTokenSource();
        var starting = BrokerServer.StartAsync(Settings(0), NewLog(),
            (_, options) => new SlowHost(options, Task.Delay(Timeout.Infinite, giveUp.Token)),
            cancellationToken: giveUp.Token);
        await giveUp.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => starting.WaitAsync(RunningBroker.Patience));
        await using var server = await BrokerServer.StartAsync(Settings(0), NewLog(), Standalone);
    }

    [Theory]
    [InlineData("*:0")]
    [InlineData("0.0.0.0:0")]
    public async Task Broker_bound_beyond_loopback_warns(string listener)
    {
        Assert.True(ListenAddress.TryParse(listener, out var address));
        await using var server = await BrokerServer.StartAsync(Settings(0) with { Http = address }, NewLog(), Standalone);
        Assert.Contains("WARN  broker: ANYONE WHO CAN REACH", _log.ToString(), StringComparison.Ordinal);
        using var http = new HttpClient();
        Assert.Equal("ok", await http.GetStringAsync($"http://127.0.0.1:{new Uri(server.Address).Port}/readyz"));
    }

    /// <summary>Where rules are enforced, a client without a name may do what they allow everyone.</summary>
    [Theory]
    [InlineData(null, true)]
    [InlineData(AuthorizationMode.Warn, true)]
    [InlineData(AuthorizationMode.Enforce, false)]
    public async Task Kafka_listener_without_passwords_that_others_reach_is_warned_of_unless_rules_are_enforced(AuthorizationMode? mode,
        bool isWarned)
    {
        var settings = Settings(0) with { Kafka = new ListenAddress(IPAddress.Any, 0), Authorization = mode };
        await using var server = await BrokerServer.StartAsync(settings, NewLog(), Standalone);
        Assert.Equal(isWarned, _log.ToString().Contains("EVERY TOPIC: the gateway kafka demands no password", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(null, SecurityProtocol.SaslPlaintext, true)]
    [InlineData(null, SecurityProtocol.Plaintext, false)]
    [InlineData(AuthorizationMode.Off, SecurityProtocol.SaslPlaintext, false)]
    [InlineData(AuthorizationMode.Warn, SecurityProtocol.SaslPlaintext, false)]
    [InlineData(AuthorizationMode.Enforce, SecurityProtocol.SaslPlaintext, false)]
    public async Task Credentials_without_rules_are_warned_of(AuthorizationMode? mode, SecurityProtocol protocol, bool isWarned)
    {
        var listener = new KafkaListenerSetting("only", new ListenAddress(IPAddress.Loopback, 0), protocol, null);
        var settings = Settings(0) with { Kafka = listener.Listen, KafkaListeners = [listener], Authorization = mode };
        await using var server = await BrokerServer.StartAsync(settings, NewLog(), Standalone);
        Assert.Equal(isWarned, _log.ToString().Contains("WARN  broker: WHO AUTHENTICATES CAN READ, WRITE AND DELETE EVERY TOPIC",
            StringComparison.Ordinal));
    }

    [Fact]
    public async Task Broker_on_loopback_does_not_warn()
    {
        await using var server = await BrokerServer.StartAsync(Settings(0), NewLog(), Standalone);
        Complaints.AssertNone(_log.ToString());
    }

    [Fact]
    public void Cluster_mode_is_refused_by_a_build_without_it()
    {
        var settings = BrokerSettings.Default with { Flavour = Flavour.Cluster, DataDirectory = _directory };
        var options = settings.ToOptions(OrleansMq.Diagnostics.EngineLog.Silent, TimeProvider.System);
#if ORLEANS
        Assert.Equal("cluster", BrokerHosts.Create(settings, options).Flavour);
#else
        var refusal = Assert.Throws<SettingsException>(() => BrokerHosts.Create(settings, options));
        Assert.Contains("--flavour cluster", refusal.Message, StringComparison.Ordinal);
#endif
        Assert.Equal("standalone", BrokerHosts.Create(settings with { Flavour = Flavour.Standalone }, options).Flavour);
    }

    private static StandaloneHost Standalone(BrokerSettings settings, BrokerOptions options) => new(options);

    private BrokerSettings Settings(int port) =>
        BrokerSettings.Default with { DataDirectory = _directory, Kafka = null, Http = new ListenAddress(IPAddress.Loopback, port) };

    private ConsoleLog NewLog() => new(_log, LogLevel.Information, TimeProvider.System);

    private static async Task ConnectAsync(int port)
    {
        var deadline = DateTime.UtcNow + RunningBroker.Patience;
        while (true)
        {
            using var client = new TcpClient();
            try
            {
                await client.ConnectAsync(IPAddress.Loopback, port);
                return;
            }
            catch (SocketException) when (DateTime.UtcNow < deadline)
            {
                await Task.Yield();
            }
        }
    }

    private sealed class SlowHost(BrokerOptions options, Task opened) : IBrokerHost
    {
        private readonly StandaloneHost _inner = new(options);

        public string Flavour => _inner.Flavour;

        public void Begin() => _inner.Begin();

        public async Task<HostedBroker> StartAsync(HostContext context, CancellationToken cancellationToken)
        {
            await opened;
            return await _inner.StartAsync(context, cancellationToken);
        }

        public ValueTask DisposeAsync() => _inner.DisposeAsync();
    }
}
