using System.Net;
using OrleansMq.Brokers;
using OrleansMq.Hosting;
using OrleansMq.Security;

namespace OrleansMq.Tests.Engine.Hosting;

/// <summary>What a host warns of when its gateways listen.</summary>
public sealed class OpenDoorsTests
{
    private static readonly IPEndPoint Everywhere = new(IPAddress.Any, 9092);
    private static readonly BrokerOptions Plain = new() { DataDirectory = "/data" };

    private static readonly GatewayDoor Kafka = new("kafka", Everywhere);
    private static readonly GatewayDoor Sasl = Kafka with { Passwords = PasswordDemand.Always, NamesPrincipals = true };
    private static readonly GatewayDoor Http = new("http", Everywhere) { Passwords = PasswordDemand.WhereEnforced };
    private static readonly GatewayDoor Amqp = new("amqp", Everywhere) { Passwords = PasswordDemand.Always };

    [Theory]
    [InlineData(null, true)]
    [InlineData(AuthorizationMode.Off, true)]
    [InlineData(AuthorizationMode.Warn, true)]
    [InlineData(AuthorizationMode.Enforce, false)]
    public void Port_without_passwords_is_warned_of_unless_rules_are_enforced(AuthorizationMode? mode, bool isWarned)
    {
        Assert.Equal(isWarned, HasOpen(WarningsOf(mode, Kafka), "kafka"));
        Assert.Equal(isWarned, HasOpen(WarningsOf(mode, Http), "http"));
        // AMQP demands a password of each client.
        Assert.False(HasOpen(WarningsOf(mode, Amqp), "amqp"));
    }

    [Theory]
    [InlineData("0.0.0.0", true)]
    [InlineData("::", true)]
    [InlineData("10.0.0.1", true)]
    [InlineData("127.0.0.1", false)]
    [InlineData("127.0.0.2", false)]
    [InlineData("::1", false)]
    public void Port_is_warned_of_where_other_machines_reach_it(string address, bool isWarned)
    {
        var endpoint = new IPEndPoint(IPAddress.Parse(address), 9092);
        Assert.Equal(isWarned ? 2 : 0, OpenDoors.WarningsOf([Kafka with { EndPoint = endpoint }, Amqp with { EndPoint = endpoint }], Plain)
            .Count(warning => warning.Contains(endpoint.ToString(), StringComparison.Ordinal)));
    }

    [Fact]
    public void Demanded_certificate_closes_a_port()
    {
        var door = Kafka with { IsEncrypted = true, NamesPrincipals = true };
        Assert.True(HasOpen(WarningsOf(null, door), "kafka"));
        Assert.False(HasOpen(WarningsOf(null, door with { DemandsCertificate = true }), "kafka"));
    }

    [Theory]
    [InlineData(AuthorizationMode.Off, false)]
    [InlineData(AuthorizationMode.Enforce, true)]
    public void Password_in_clear_text_is_warned_of_where_it_is_demanded(AuthorizationMode mode, bool isHttpWarned)
    {
        Assert.Equal(isHttpWarned, HasClearText(WarningsOf(mode, Http), "http"));
        Assert.True(HasClearText(WarningsOf(mode, Amqp), "amqp"));
        Assert.True(HasClearText(WarningsOf(mode, Sasl), "kafka"));
        Assert.False(HasClearText(WarningsOf(mode, Kafka), "kafka"));
        foreach (var door in new[] { Http, Amqp, Sasl })
            Assert.False(HasClearText(WarningsOf(mode, door with { IsEncrypted = true }), door.Gateway));
    }

    [Theory]
    [InlineData(null, true)]
    [InlineData(AuthorizationMode.Off, false)]
    [InlineData(AuthorizationMode.Warn, false)]
    [InlineData(AuthorizationMode.Enforce, false)]
    public void Credentials_without_rules_are_warned_of_unless_that_is_set(AuthorizationMode? mode, bool isWarned)
    {
        var local = Sasl with { EndPoint = new IPEndPoint(IPAddress.Loopback, 9092) };
        Assert.Equal(isWarned, HasNoRules(WarningsOf(mode, local)));
        Assert.False(HasNoRules(WarningsOf(mode, Kafka, Http, Amqp)));
    }

    public static TheoryData<bool, SecurityOptions> Administrators => new()
    {
        { true, new SecurityOptions { Tokens = NoTokens.Create } },
        { true, new SecurityOptions { HasClientCertificates = true } },
        { false, new SecurityOptions() },
        { false, new SecurityOptions { Tokens = NoTokens.Create, SuperUsers = ["User:admin"] } },
        { false, new SecurityOptions { HasClientCertificates = true, AdminPassword = "secret" } },
        // Everyone may add the first rules.
        { false, new SecurityOptions { Tokens = NoTokens.Create, AllowEveryoneIfNoAclFound = true } },
        { false, new SecurityOptions { Tokens = NoTokens.Create, Authorization = AuthorizationMode.Enforce } },
        { false, new SecurityOptions { Tokens = NoTokens.Create, Authorization = AuthorizationMode.Warn } },
        { false, new SecurityOptions { HasClientCertificates = true, Authorization = AuthorizationMode.Off } },
    };

    [Theory]
    [MemberData(nameof(Administrators))]
    public void Rules_that_credentials_enforce_are_warned_of_without_an_administrator(bool isWarned, SecurityOptions security)
    {
        var warnings = OpenDoors.WarningsOf([], Plain with { Security = security });
        Assert.Equal(isWarned ? 1 : 0, warnings.Count);
        foreach (var named in new[] { "RULES ARE ENFORCED WITHOUT AN ADMINISTRATOR", "--super-users", "--admin-password",
            "BrokerOptions.Security" })
            Assert.All(warnings, warning => Assert.Contains(named, warning, StringComparison.Ordinal));
    }

    /// <summary>Tokens name its clients; rules do not replace it.</summary>
    [Fact]
    public void Host_with_an_authorizer_of_its_own_and_tokens_is_warned_of_nothing()
    {
        var security = new SecurityOptions { Tokens = NoTokens.Create };
        var authorizer = new AclAuthorizer(new SecurityOptions());
        foreach (var options in new[]
        {
            Plain with { Authorizer = authorizer, Security = security },
            Plain with { Security = security, Authorizer = authorizer },
        })
            Assert.Empty(OpenDoors.WarningsOf([Sasl with { IsEncrypted = true }], options));
    }

    /// <summary>It decides itself what clients without a name may do, unless rules take its place.</summary>
    [Fact]
    public void Host_with_an_authorizer_of_its_own_is_warned_of_passwords_in_clear_text_alone()
    {
        var options = Plain with { Authorizer = new AclAuthorizer(new SecurityOptions()) };
        Assert.True(HasClearText(Assert.Single(OpenDoors.WarningsOf([Kafka, Http, Sasl], options)), "kafka"));
        Assert.True(HasOpen(OpenDoors.WarningsOf([Kafka], options with
        {
            Security = new SecurityOptions { Authorization = AuthorizationMode.Warn },
        }), "kafka"));
    }

    [Fact]
    public void Warning_names_the_setting_and_the_option_in_code()
    {
        foreach (var door in new[] { Kafka, Sasl with { IsEncrypted = true } })
        {
            var warning = Assert.Single(WarningsOf(null, door));
            Assert.Contains("--admin-password", warning, StringComparison.Ordinal);
            Assert.Contains("BrokerOptions.Security", warning, StringComparison.Ordinal);
        }
    }

    private static IReadOnlyList<string> WarningsOf(AuthorizationMode? mode, params GatewayDoor[] doors) =>
        OpenDoors.WarningsOf(doors, mode is { } set ? Plain with { Security = new SecurityOptions { Authorization = set } } : Plain);

    private static bool HasOpen(IReadOnlyList<string> warnings, string gateway) => warnings.Any(warning =>
        warning.StartsWith("ANYONE WHO CAN REACH ", StringComparison.Ordinal)
        && warning.Contains($"the gateway {gateway} demands no password", StringComparison.Ordinal));

    private static bool HasClearText(IReadOnlyList<string> warnings, string gateway) =>
        warnings.Any(warning => HasClearText(warning, gateway));

    private static bool HasClearText(string warning, string gateway) =>
        warning.Contains($"unencrypted, since the gateway {gateway} has no TLS", StringComparison.Ordinal);

    private static bool HasNoRules(IReadOnlyList<string> warnings) =>
        warnings.Any(static warning => warning.StartsWith("WHO AUTHENTICATES CAN READ", StringComparison.Ordinal));

    private sealed class NoTokens : ITokenVerifier
    {
        public static NoTokens Create() => new();

        public ValueTask<BearerToken?> VerifyAsync(string token, CancellationToken cancellationToken) => new((BearerToken?)null);

        public void Dispose() { }
    }
}
