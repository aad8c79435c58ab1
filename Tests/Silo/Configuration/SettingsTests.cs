using System.Net;
using OrleansMq.Gateways.Kafka;
using OrleansMq.Security;
using OrleansMq.Silo.Configuration;
using OrleansMq.Tls;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Silo.Configuration;

public sealed class SettingsTests
{
    private const string File = "/etc/omq.json";

    [Fact]
    public void Defaults_apply_without_any_source() => Assert.Equal(BrokerSettings.Default, Resolve());

    [Fact]
    public void Flag_beats_environment_beats_file_beats_default()
    {
        const string text = """{"data": "file", "flush": "interval", "brokerId": 1, "partitions": 4}""";
        var settings = Resolve(text, new() { ["OMQ_DATA"] = "environment", ["OMQ_FLUSH"] = "sync" }, new() { ["data"] = "flag" });
        Assert.Equal("flag", settings.DataDirectory);
        Assert.Equal(FlushPolicy.Sync, settings.Flush);
        Assert.Equal(1, settings.BrokerId);
        Assert.Equal(4, settings.Partitions);
        Assert.Equal(BrokerSettings.Default.MinFreeBytes, settings.MinFreeBytes);
    }

    [Fact]
    public void Environment_may_name_the_file_and_the_flag_overrides_it()
    {
        var environment = new Dictionary<string, string> { ["OMQ_CONFIG"] = "/one" };
        string Read(string path) => path == "/one" ? """{"brokerId": 1}""" : """{"brokerId": 2}""";
        BrokerSettings ResolveWith(string? config) =>
            SettingsResolver.Resolve(new Dictionary<string, string>(), config, environment.GetValueOrDefault, Read, NoSecret);
        Assert.Equal(1, ResolveWith(null).BrokerId);
        Assert.Equal(2, ResolveWith("/two").BrokerId);
    }

    [Fact]
    public void Empty_variable_counts_as_unset() =>
        Assert.Equal(8080, Resolve(environment: new() { ["OMQ_HTTP"] = "", ["OMQ_CONFIG"] = "" }).Http.Port);

    [Fact]
    public void Names_of_flags_and_variables_derive_from_the_key()
    {
        var setting = Settings.All.Single(s => s.Key == "minFreeBytes");
        Assert.Equal("--min-free-bytes", setting.Flag);
        Assert.Equal("OMQ_MIN_FREE_BYTES", setting.Variable);
    }

    public static TheoryData<string, string> BadValues => new()
    {
        { "data", "" }, { "http", "x" }, { "http", "127.0.0.1:65536" }, { "http", "example.org:80" }, { "kafka",
            "on" }, { "kafkaAdvertised", "kafka.example.org" },
        { "kafkaAdvertised", "0.0.0.0:9092" }, { "autoCreateTopics", "yes" }, { "flush", "often" }, { "flush", "1" },
        { "brokerId", "-1" }, { "brokerId", "2147483648" }, { "partitions", "0" }, { "partitions", "10001" }, { "minFreeBytes",
            "1k" }, { "maxOpenFiles", "1" },
        { "appendThreads", "0" }, { "kafkaLoops", "-1" }, { "httpHosts", "" }, { "httpHosts", "a,b:80" }, { "verifyOnRead",
            "yes" }, { "retentionCheckMs", "0" }, { "checkpointMs",
            "0" }, { "compactionCheckMs", "x" },
        { "producerIdExpirationMs", "0" }, { "drainTimeoutMs", "-1" }, { "logLevel", "loud" }, { "flavour", "vanilla" },
        { "orleansPort", "65536" }, { "orleansPort", "db.example:1" }, { "gatewayPort", "-1" }, { "clusterId", "a b" }, { "clusterId",
            "-a" },
        { "postgres", "db" }, { "postgres", "Database=omq" }, { "rack", "a/b" }, { "advertised", "0.0.0.0" }, { "advertised", "a b" },
        { "replicationFactor", "0" }, { "replicationFactor", "33" }, { "replicaLagTimeMaxMs", "0" }, { "leaderLeaseMs", "0" },
        { "replicaCatchUpMaxBytesPerSecond", "-1" }, { "replicaCatchUpLiveShare", "0" }, { "replicaCatchUpLiveShare",
            "101" }, { "autoLeaderRebalance", "yes" }, { "groupConsumerSessionTimeoutMs", "0" },
        { "groupConsumerHeartbeatIntervalMs", "0" }, { "groupInitialRebalanceDelayMs", "-1" },
        { "autoRebalance", "yes" }, { "startTimeoutMs", "0" }, { "kafkaMaxConnectionsPerAddress", "-1" },
        { "httpMaxConnections", "-1" }, { "verifyCompressed", "maybe" },
        { "amqp", "on" }, { "amqpManagement", "on" }, { "amqpMemory", "1000" }, { "maxQueuesPerPartition", "0" },
        { "amqpMaxConnectionsPerAddress", "-1" },
        { "maxGroups", "0" }, { "maxMessageIds", "0" },
        { "authorization", "on" }, { "superUsers", "admin" }, { "superUsers", "User:admin;bob" },
        { "adminPassword", new string('x', 1_025) }, { "allowEveryoneIfNoAclFound", "yes" }, { "openMetrics", "yes" },
        { "kafkaMaxReauthenticationMs", "-1" }, { "clusterTlsCertificate", "" }, { "clusterTlsKey", "" }, { "clusterTlsCa", "" },
        { "http", "amqps://1" }, { "kafka", "9092,TLS" }, { "kafka", "a=1,SSL;A=2,SSL" }, { "kafka", "1,SSL;2,SSL" },
        { "kafka", "1,SSL,example.com" }, { "kafka", "=1,SSL" }, { "kafka", "1,SSL,a:1,b:2" }, { "kafka", ";" },
        { "amqp", "https://1" }, { "tlsCertificate", ";" }, { "tlsKey", ";" }, { "tlsPassword", "" }, { "tlsClientAuth", "maybe" },
        { "saslMechanisms", "PLAIN,GSSAPI" }, { "oauthbearerJwks", "http://issuer.example.com/keys" }, { "oauthbearerIssuer", "" },
        { "oauthbearerAudience", "," }, { "oauthbearerSubClaim", "" }, { "orleansPrincipal", "services" },
        { "tlsClientCa", "" }, { "tlsPrincipalMappingRules", "RULE:" }, { "kafkaMaxInFlightBytes", "8388607" },
        { "adminPasswordFile", "" }, { "tlsPasswordFile", "" }, { "postgresFile", "" },
    };

    [Theory]
    [MemberData(nameof(BadValues))]
    public void Invalid_value_is_refused_with_its_source_and_what_is_allowed(string key, string value)
    {
        var setting = Settings.All.Single(s => s.Key == key);
        AssertRefused([setting.Flag, setting.Expected], () => Resolve(flags: new() { [key] = value }));
        AssertRefused([File, $"\"{key}\"", setting.Expected], () => Resolve($$"""{"{{key}}": "{{value}}"}"""));
        if (value.Length > 0)
            AssertRefused([$"{setting.Variable}={(setting.IsSecret ? "..." : value)}", setting.Expected],
                () => Resolve(environment: new() { [setting.Variable] = value }));
    }

    [Fact]
    public void Every_setting_refuses_an_invalid_value() =>
        Assert.Equal(Settings.All.Select(s => s.Key).Order(), BadValues.Select(row => (string)((object[])row)[0]).Distinct().Order());

    [Theory]
    [InlineData("""{"dta": "x"}""", "unknown key \"dta\"", "data, http, httpHosts, httpMaxConnections, kafka")]
    [InlineData("""{"data": "x", "data": "y"}""", "twice", "data")]
    [InlineData("""{"data": ["x"]}""", "data", "expected")]
    [InlineData("[]", "JSON object", "data")]
    [InlineData("{\n\"data\": x}", "line 2", "JSON")]
    [InlineData("""{"topicDefaults": 1}""", "topicDefaults", "object")]
    [InlineData("""{"topicDefaults": {"retention.ms": []}}""", "retention.ms", "expected")]
    [InlineData("""{"topicDefaults": {"retention.mss": 1}}""", "topicDefaults", "retention.mss")]
    [InlineData("""{"topicDefaults": {"cleanup.policy": "keep"}}""", "topicDefaults", "cleanup.policy")]
    public void Invalid_file_is_refused_by_path_and_key(string text, string first, string second) =>
        AssertRefused([File, first, second], () => Resolve(text));

    [Fact]
    public void Unreadable_file_is_refused_by_the_flag_that_names_it() =>
        AssertRefused(["--config /nowhere", "cannot be read"],
            () => SettingsResolver.Resolve(new Dictionary<string, string>(), "/nowhere", _ => null,
            path => throw new FileNotFoundException($"No {path}."), NoSecret));

    [Fact]
    public void File_accepts_numbers_booleans_and_comments()
    {
        var settings = Resolve("""{"brokerId": 3, "verifyOnRead": false, /* enough */ "minFreeBytes": "7",}""");
        Assert.Equal((3, false, 7L), (settings.BrokerId, settings.VerifyOnRead, settings.MinFreeBytes));
    }

    [Theory]
    [InlineData("1000", "1000")]
    [InlineData("4999", "5000")]
    public void Session_timeout_must_exceed_the_heartbeat_interval(string session, string heartbeat) =>
        AssertRefused(["--group-consumer-session-timeout-ms", "above --group-consumer-heartbeat-interval-ms"],
            () => Resolve(flags: new() { ["groupConsumerSessionTimeoutMs"] = session, ["groupConsumerHeartbeatIntervalMs"] = heartbeat }));

    [Fact]
    public void Group_timeouts_reach_their_coordinators()
    {
        var groups = Resolve(flags: new() { ["groupConsumerSessionTimeoutMs"] = "7000", ["groupConsumerHeartbeatIntervalMs"] = "600",
            ["groupInitialRebalanceDelayMs"] = "3000" })
            .ToOptions(OrleansMq.Diagnostics.EngineLog.Silent, TimeProvider.System).Groups;
        Assert.Equal((7000, 600, 3000), (groups.ConsumerSessionTimeout.TotalMilliseconds,
            groups.ConsumerHeartbeatInterval.TotalMilliseconds, groups.InitialRebalanceDelay.TotalMilliseconds));
    }

    [Fact]
    public void Kafka_listeners_are_parsed_from_every_source()
    {
        var flags = new BrokerCommandLine().Parse(["--kafka", "client=*:9093,sasl_ssl,kafka.example.com:443", "--kafka",
            "127.0.0.1:9092,PLAINTEXT", "--tls-certificate", "a.pem", "--tls-certificate", "b.pem"]).Flags;
        var settings = Resolve(flags: new(flags));
        Assert.Equal(
        [
            new KafkaListenerSetting("client", new ListenAddress(IPAddress.IPv6Any, 9093), SecurityProtocol.SaslSsl,
                "kafka.example.com:443"),
            new KafkaListenerSetting("PLAINTEXT", new ListenAddress(IPAddress.Loopback, 9092), SecurityProtocol.Plaintext, null),
        ], settings.KafkaListeners);
        Assert.Equal(settings.KafkaListeners[0].Listen, settings.Kafka);
        Assert.Equal(["a.pem", "b.pem"], settings.TlsCertificates);
        const string text = """{"kafka": ["a=1,SSL", "b=2,PLAINTEXT"], "tlsCertificate": ["a.pem"]}""";
        Assert.Equal(["a", "b"], Resolve(text).KafkaListeners.Select(static one => one.Name));
        var environment = new Dictionary<string, string> { ["OMQ_KAFKA"] = "a=1,PLAINTEXT; b=2,PLAINTEXT" };
        Assert.Equal(["a", "b"], Resolve(environment: environment).KafkaListeners.Select(static one => one.Name));
        // A later source replaces all of them.
        Assert.Empty(Resolve(environment: environment, flags: new() { ["kafka"] = "9094" }).KafkaListeners);
        Assert.Null(Resolve(environment: environment, flags: new() { ["kafka"] = "off" }).Kafka);
    }

    [Fact]
    public void Tls_settings_become_the_options_of_all_listeners()
    {
        var settings = Resolve(flags: new() { ["http"] = "https://*:8443", ["tlsCertificate"] = "a.pem;b.pfx", ["tlsKey"] = "a.key;b.key",
            ["tlsPassword"] = "word", ["tlsClientAuth"] = "required", ["tlsClientCa"] = "ca.pem" });
        Assert.Equal(new ListenAddress(IPAddress.IPv6Any, 8443) { IsSecure = true }, settings.Http);
        var tls = settings.ToTls()!;
        Assert.Equal([new TlsCertificate("a.pem") { KeyFile = "a.key", Password = "word" },
            new TlsCertificate("b.pfx") { KeyFile = "b.key", Password = "word" }], tls.Certificates);
        Assert.Equal((ClientAuthentication.Required, "ca.pem", "DEFAULT"),
            (tls.ClientAuthentication, tls.ClientAuthorities, tls.PrincipalMappingRules));
        Assert.DoesNotContain("word", settings.ToString(), StringComparison.Ordinal);
        Assert.False(Resolve(flags: new() { ["http"] = "http://8080" }).UsesTls);
    }

    [Theory]
    [InlineData("none", AuthorizationMode.Off)]
    [InlineData("requested", AuthorizationMode.Enforce)]
    [InlineData("required", AuthorizationMode.Enforce)]
    public void Certificates_of_clients_enforce_rules_unless_that_is_set(string clients, AuthorizationMode mode)
    {
        var flags = new Dictionary<string, string> { ["http"] = "https://1", ["tlsCertificate"] = "a", ["tlsClientAuth"] = clients };
        if (clients != "none")
            flags["tlsClientCa"] = "ca.pem";
        SecurityOptions Security() =>
            Resolve(flags: flags).ToOptions(OrleansMq.Diagnostics.EngineLog.Silent, TimeProvider.System).Security;
        Assert.Equal((mode, false), (Security().Authorization, Security().IsAuthorizationSet));
        foreach (var set in Enum.GetValues<AuthorizationMode>())
        {
            flags["authorization"] = set.ToString();
            Assert.Equal((set, true), (Security().Authorization, Security().IsAuthorizationSet));
        }
    }

    [Theory]
    [InlineData("needs a certificate", "http=https://1")]
    [InlineData("needs a certificate", "kafka=1,SSL")]
    [InlineData("apply only to listeners with TLS", "tlsCertificate=a")]
    [InlineData("--tls-key names 2 files, --tls-certificate 1", "http=https://1", "tlsCertificate=a", "tlsKey=a;b")]
    [InlineData("add --tls-client-ca", "http=https://1", "tlsCertificate=a", "tlsClientAuth=required")]
    [InlineData("add --tls-client-auth", "http=https://1", "tlsCertificate=a", "tlsClientCa=a")]
    [InlineData("--kafka-advertised is the address of a single listener", "kafka=1,PLAINTEXT", "kafkaAdvertised=a:1")]
    public void Settings_of_TLS_that_contradict_each_other_are_refused(string reason, params string[] flags) =>
        AssertRefused([reason], () => Resolve(flags: flags.ToDictionary(static flag => flag.Split('=', 2)[0],
            static flag => flag.Split('=', 2)[1])));

    [Fact]
    public void Topic_defaults_include_the_flush_policy()
    {
        var settings = Resolve("""{"flush": "sync", "topicDefaults": {"retention.ms": 1000, "cleanup.policy": "compact"}}""");
        var config = settings.ToOptions(OrleansMq.Diagnostics.EngineLog.Silent, TimeProvider.System).TopicDefaults;
        Assert.Equal((1000L, true, FlushPolicy.Sync), (config.RetentionMs, config.CleanupCompact, config.FlushPolicy));
    }

    [Fact]
    public void Refused_connection_string_is_not_repeated_in_messages()
    {
        const string text = "Hots=db;Password=hunter2";
        foreach (var resolve in new Action[] { () => Resolve($$"""{"postgres": "{{text}}"}"""),
            () => Resolve(environment: new() { ["OMQ_POSTGRES"] = text }),
            () => Resolve(flags: new() { ["postgres"] = text }) })
            Assert.DoesNotContain("hunter2", Assert.Throws<SettingsException>(resolve).Message, StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", Resolve(flags: new() { ["postgres"] = "Host=db;Password=hunter2" }).ToString(),
            StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--postgres", "postgres", "Host=db", "flavour", "standalone")]
    [InlineData("--cluster-id", "clusterId", "mine")]
    [InlineData("--rack", "rack", "r1")]
    [InlineData("--advertised", "advertised", "db.example")]
    [InlineData("--replication-factor", "replicationFactor", "3")]
    [InlineData("--auto-rebalance", "autoRebalance", "true")]
    [InlineData("--auto-leader-rebalance", "autoLeaderRebalance", "false")]
    [InlineData("--replica-catch-up-max-bytes-per-second", "replicaCatchUpMaxBytesPerSecond", "1")]
    [InlineData("--replica-catch-up-live-share", "replicaCatchUpLiveShare", "100")]
    [InlineData("--amqp-management", "amqpManagement", "15672")]
    public void Contradictions_are_refused_by_name(string named, params string[] keysAndValues) => AssertRefused([named], () =>
        Resolve(flags: keysAndValues.Chunk(2).ToDictionary(pair => pair[0], pair => pair[1])));

    [Fact]
    public void Database_setting_makes_the_broker_a_cluster_member()
    {
        var settings = Resolve(environment: new() { ["OMQ_POSTGRES"] = "Host=db" }, flags: new()
        {
            ["clusterId"] = "mine",
            ["rack"] = "r1",
            ["advertised"] = "b1.example",
            ["orleansPort"] = "*:7000",
            ["gatewayPort"] = "0",
            ["replicationFactor"] = "auto",
            ["amqp"] = "5672",
            ["amqpManagement"] = "15672",
        });
        Assert.Equal(("Host=db", "mine", "r1", "b1.example", 0),
            (settings.PostgreSql, settings.ClusterId, settings.Rack, settings.AdvertisedHost, settings.ReplicationFactor));
        Assert.Equal(new ListenPort(IPAddress.IPv6Any, 7000), settings.OrleansPort);
        Assert.Equal(new ListenPort(null, 0), settings.GatewayPort);
    }

    [Theory]
    [InlineData("8080", "127.0.0.1:8080")]
    [InlineData("0", "127.0.0.1:0")]
    [InlineData("0.0.0.0:80", "0.0.0.0:80")]
    [InlineData("localhost:80", "127.0.0.1:80")]
    [InlineData("[::1]:80", "[::1]:80")]
    [InlineData("*:80", "[::]:80")]
    public void Listener_is_a_port_or_an_address_and_port(string text, string expected)
    {
        Assert.True(ListenAddress.TryParse(text, out var address));
        Assert.Equal(expected, address.ToString());
    }

    [Theory]
    [InlineData("")]
    [InlineData(":")]
    [InlineData(":80")]
    [InlineData("::1:80")]
    [InlineData("[::1]")]
    [InlineData("-1")]
    [InlineData("+80")]
    [InlineData("127.0.0.1:")]
    public void Malformed_listener_is_refused(string text) => Assert.False(ListenAddress.TryParse(text, out _));

    [Fact]
    public void Only_loopback_counts_as_loopback()
    {
        Assert.True(new ListenAddress(IPAddress.IPv6Loopback, 1).IsLoopback);
        Assert.False(new ListenAddress(IPAddress.Any, 1).IsLoopback);
    }

    private static BrokerSettings Resolve(string? file = null, Dictionary<string, string>? environment = null,
        Dictionary<string, string>? flags = null) =>
        SettingsResolver.Resolve(flags ?? [], file is null ? null : File, (environment ?? []).GetValueOrDefault, _ => file!,
            NoSecret);

    private static Stream NoSecret(string path) => throw new FileNotFoundException($"No {path}.");

    private static void AssertRefused(string[] named, Action resolve)
    {
        var refused = Assert.Throws<SettingsException>(resolve);
        Assert.All(named, name => Assert.Contains(name, refused.Message, StringComparison.Ordinal));
        Assert.DoesNotContain('\n', refused.Message);
    }
}
