using System.Net;
using OrleansMq.Client;
using OrleansMq.Diagnostics;
using OrleansMq.Security;
using OrleansMq.Silo.Configuration;
using OrleansMq.Tests.Engine.VirtualHosts;

namespace OrleansMq.Tests.Silo.Access;

/// <summary>An operator replaces the key of tickets.</summary>
public sealed class TicketKeyTests : IAsyncLifetime
{
    private const string AdminPassword = "a long password";
    private readonly BrokerTickets _tickets;
    private readonly RunningBroker _broker;

    public TicketKeyTests()
    {
        var store = new MemoryStateStore();
        _tickets = new BrokerTickets("broker-1", () => store, EngineLog.Silent, TimeProvider.System);
        _broker = new RunningBroker
        {
            Settings = new BrokerSettings
            {
                Kafka = null,
                Http = new ListenAddress(IPAddress.Loopback, 0),
                AdminPassword = AdminPassword,
            },
            Tickets = _tickets,
        };
    }

    public async Task InitializeAsync()
    {
        await _tickets.OpenAsync(follows: false);
        await _broker.InitializeAsync();
    }

    public async Task DisposeAsync()
    {
        await _broker.DisposeAsync();
        await _tickets.DisposeAsync();
    }

    [Fact]
    public async Task Key_is_replaced_and_the_one_before_dropped_by_who_may_alter_the_cluster()
    {
        using var admin = Connect("admin");
        var ticket = _tickets.Issue("User:alice", null, -1, -1, out _);
        await admin.Security.ReplaceTicketKeyAsync(default);
        Assert.Equal(2, _tickets.Version);
        Assert.Equal(TicketFault.None, _tickets.Verify(ticket, default, out _));
        await admin.Security.DropOldTicketKeysAsync(default);
        Assert.Equal(TicketFault.DroppedKey, _tickets.Verify(ticket, default, out _));
        Assert.Contains("User:admin at '127.0.0.1' (Http) replaced the key of tickets.", _broker.Log, StringComparison.Ordinal);
        Assert.Contains("User:admin at '127.0.0.1' (Http) dropped the replaced keys of tickets.", _broker.Log, StringComparison.Ordinal);

        var version = _tickets.Version;
        await admin.Security.SetPasswordAsync("alice", new PasswordBody(AdminPassword), default);
        using var alice = Connect("alice");
        foreach (var call in new Func<ValueTask>[] { () => alice.Security.ReplaceTicketKeyAsync(default),
            () => alice.Security.DropOldTicketKeysAsync(default) })
            Assert.Equal(ErrorCode.ClusterAuthorizationFailed,
                (await Assert.ThrowsAsync<BrokerException>(async () => await call())).Code);
        Assert.Equal(version, _tickets.Version);
    }

    [Fact]
    public async Task Broker_without_tickets_says_so()
    {
        var broker = new RunningBroker();
        await broker.InitializeAsync();
        using var client = new HttpBroker(new Uri(broker.Server.Address));
        Assert.Equal(ErrorCode.UnsupportedVersion, (await Assert.ThrowsAsync<BrokerException>(async () =>
            await client.Security.ReplaceTicketKeyAsync(default))).Code);
        await broker.DisposeAsync();
    }

    private HttpBroker Connect(string user) =>
        new(new Uri(_broker.Server.Address), new HttpBrokerOptions { User = user, Password = AdminPassword });
}
