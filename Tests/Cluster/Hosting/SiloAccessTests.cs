using System.Net;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Client;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Tokens;
using OrleansMq.Grains.Security;
using OrleansMq.Hosting;
using OrleansMq.Security;
using OrleansMq.Tests.Engine.Brokers;
using OrleansMq.Tests.Shared;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Cluster.Hosting;

/// <summary>A user's own silo has the first user, the tokens and the warnings that the program has.</summary>
public sealed class SiloAccessTests : IDisposable
{
    private static readonly IPEndPoint Local = new(IPAddress.Loopback, 0);
    private static readonly IPEndPoint Everywhere = new(IPAddress.Any, 0);

    private readonly TempDirectory _data = new();
    private readonly RecordedLog _log = new();

    public void Dispose() => _data.Dispose();

    [Fact]
    public async Task Silo_with_an_admin_password_begins_with_its_administrator_and_refuses_others()
    {
        await using var silo = await StartAsync("first");
        using var anonymous = new HttpBroker(AddressOf(silo));
        await AssertRefusedAsync(anonymous);
        using var admin = new HttpBroker(AddressOf(silo), new HttpBrokerOptions { User = "admin", Password = "first" });
        await admin.CreateTopicAsync(new NewTopic("orders"));

        var hosts = await silo.Services.GetRequiredService<HostedBroker>().OpenVirtualHosts();
        Assert.Null(hosts.Users.FindUser(UserState.Guest));
        Assert.True(UserState.MayLogIn(hosts.Users.FindUser("admin"), "first", isLoopback: false));
    }

    [Fact]
    public async Task Administrator_keeps_its_password_when_a_silo_starts_with_another()
    {
        await using (await StartAsync("first"))
        {
        }
        await using var silo = await StartAsync("second");
        var users = silo.Services.GetRequiredService<SiloSecurity>().Users;
        Assert.True(await users.VerifiesAsync("admin", "first", "", default));
        Assert.False(await users.VerifiesAsync("admin", "second", "", default));
    }

    [Fact]
    public async Task Silo_with_tokens_knows_clients_by_them()
    {
        using var issuer = new TokenIssuer();
        var keys = Path.Combine(_data.Path, "keys.json");
        await File.WriteAllTextAsync(keys, issuer.Keys);
        await using var silo = await TestSilo.StartAsync(Path.Combine(_data.Path, "data"),
            static builder => builder.AddHttp(static options => options with { Listen = Local }),
            configure: options => (options with { Security = new SecurityOptions { SuperUsers = ["User:alice"] } })
                .WithTokens(new TokenOptions { Keys = keys, Issuer = TokenIssuer.Issuer, Audiences = [TokenIssuer.Audience] }));
        using var bob = new HttpBroker(AddressOf(silo), new HttpBrokerOptions { Token = () => issuer.Issue("bob") });
        await AssertRefusedAsync(bob);
        using var alice = new HttpBroker(AddressOf(silo), new HttpBrokerOptions { Token = () => issuer.Issue("alice") });
        await alice.CreateTopicAsync(new NewTopic("orders"));
    }

    [Fact]
    public async Task Silo_with_tokens_alone_refuses_clients_and_warns_that_no_administrator_is_set()
    {
        using var issuer = new TokenIssuer();
        var keys = Path.Combine(_data.Path, "keys.json");
        await File.WriteAllTextAsync(keys, issuer.Keys);
        await using var silo = await TestSilo.StartAsync(Path.Combine(_data.Path, "data"),
            static builder => builder.AddHttp(static options => options with { Listen = Local }),
            configure: options => (options with { Log = _log })
                .WithTokens(new TokenOptions { Keys = keys, Issuer = TokenIssuer.Issuer, Audiences = [TokenIssuer.Audience] }));
        using var alice = new HttpBroker(AddressOf(silo), new HttpBrokerOptions { Token = () => issuer.Issue("alice") });
        await AssertRefusedAsync(alice);
        Assert.StartsWith("RULES ARE ENFORCED WITHOUT AN ADMINISTRATOR", Assert.Single(Warnings()), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Silo_warns_of_gateways_that_let_everyone_in()
    {
        await using var silo = await StartAsync(Everywhere, static options => options);
        string Open(string gateway) => $"ANYONE WHO CAN REACH {EndPointOf(silo, gateway)} CAN READ, WRITE AND DELETE EVERY TOPIC: "
            + $"the gateway {gateway} demands no password";
        string Clear(string gateway) => $"Passwords and messages reach {EndPointOf(silo, gateway)} unencrypted";
        foreach (var expected in new[] { Open("kafka"), Open("http"), Clear("amqp"), Clear("amqp-management") })
            Assert.Contains(expected, string.Join('\n', Warnings()), StringComparison.Ordinal);
        Assert.Equal(4, Warnings().Count());
    }

    [Fact]
    public async Task Silo_that_enforces_rules_warns_of_passwords_in_clear_text_alone()
    {
        await using var silo = await StartAsync(Everywhere,
            static options => options with { Security = new SecurityOptions { AdminPassword = "secret" } });
        Assert.Equal(["amqp", "amqp-management", "http"], Warnings().Select(static warning =>
        {
            Assert.StartsWith("Passwords and messages reach ", warning, StringComparison.Ordinal);
            return warning.Split("since the gateway ")[1].Split(' ')[0];
        }).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Silo_whose_gateways_only_this_machine_reaches_warns_of_nothing()
    {
        await using var silo = await StartAsync(Local, static options => options);
        Assert.Empty(Warnings());
    }

    private Task<TestSilo> StartAsync(string adminPassword) => TestSilo.StartAsync(_data.Path,
        static silo => silo.AddHttp(static options => options with { Listen = Local }),
        configure: options => options with { Security = new SecurityOptions { AdminPassword = adminPassword } });

    private Task<TestSilo> StartAsync(IPEndPoint listen, Func<BrokerOptions, BrokerOptions> configure) => TestSilo.StartAsync(_data.Path,
        silo => silo.AddKafka(options => options with { Listen = listen })
            .AddHttp(options => options with { Listen = listen })
            .AddAmqp(options => options with { Listen = listen })
            .AddAmqpManagement(options => options with { Listen = listen }),
        configure: options => configure(options with { Log = _log }));

    private IEnumerable<string> Warnings() => _log.At(EngineLogLevel.Warning).Where(static line =>
        line.StartsWith("ANYONE WHO ", StringComparison.Ordinal) || line.StartsWith("WHO AUTHENTICATES ", StringComparison.Ordinal)
        || line.StartsWith("RULES ARE ENFORCED ", StringComparison.Ordinal)
        || line.StartsWith("Passwords and messages ", StringComparison.Ordinal));

    private static async Task AssertRefusedAsync(HttpBroker client) => Assert.Equal(ErrorCode.TopicAuthorizationFailed,
        (await Assert.ThrowsAsync<BrokerException>(async () => await client.CreateTopicAsync(new NewTopic("orders")))).Code);

    private static Uri AddressOf(TestSilo silo) => new(GatewayOf(silo, "http").Address);

    private static IPEndPoint EndPointOf(TestSilo silo, string gateway) => GatewayOf(silo, gateway).EndPoint;

    private static IGateway GatewayOf(TestSilo silo, string name) =>
        silo.Services.GetServices<IGateway>().Single(gateway => gateway.Name == name);
}
