using System.Net;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Tests.Amqp.Sockets;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>The limit of the connections to a virtual host.</summary>
public sealed class HostConnectionLimitTests : IAsyncLifetime
{
    private readonly string _directory = Directory.CreateTempSubdirectory("omq-host-connections").FullName;
    private RunningGateway _gateway = null!;
    private IVirtualHosts _hosts = null!;

    public async Task InitializeAsync()
    {
        _gateway = await RunningGateway.StartAsync(_directory);
        _hosts = (await _gateway.Gateway.OpenQueuesAsync()).Hosts;
        await _hosts.AdministerAsync(new PutVirtualHost("other", UserState.Guest));
    }

    public async Task DisposeAsync()
    {
        await _gateway.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Connection_beyond_the_limit_is_refused_until_another_one_of_the_virtual_host_ends()
    {
        await LimitAsync(2);
        await using var first = await OpenedAsync();
        await using var second = await OpenedAsync();
        await RefusedAsync(2);
        // One that is refused takes no place, and another virtual host has its own.
        await RefusedAsync(2);
        await using var other = await OpenedAsync("other");
        await second.SendAsync(0, new ConnectionClose(200, "", 0, 0));
        Assert.IsType<ConnectionCloseOk>(await second.ReceiveMethodAsync());
        await using var third = await OpenedAsync();
        await RefusedAsync(2);
    }

    [Fact]
    public async Task Limit_of_0_allows_no_connection_and_keeps_those_that_are_open()
    {
        await using var before = await OpenedAsync();
        await LimitAsync(0);
        await RefusedAsync(0);
        await before.SendAsync(1, default(ChannelOpen));
        Assert.IsType<ChannelOpenOk>(await before.ReceiveMethodAsync());
        await LimitAsync(null);
        await using var after = await OpenedAsync();
    }

    private async Task LimitAsync(int? most) => await _hosts.AdministerAsync(new SetConnectionLimit("/", most));

    private async Task<WireClient> OpenedAsync(string host = "/")
    {
        var client = await LogInAsync();
        await client.SendAsync(0, new ConnectionOpen(host));
        Assert.IsType<ConnectionOpenOk>(await client.ReceiveMethodAsync());
        return client;
    }

    private async Task RefusedAsync(int most)
    {
        await using var client = await LogInAsync();
        await client.SendAsync(0, new ConnectionOpen("/"));
        var close = Assert.IsType<ConnectionClose>(await client.ReceiveMethodAsync());
        Assert.Equal(530, close.ReplyCode);
        Assert.Equal($"NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit ({most}) is reached", close.ReplyText);
        Assert.Equal(ConnectionOpen.Id, new MethodId(close.ClassId, close.MethodId));
    }

    private Task<WireClient> LogInAsync() => WireClient.LogInAsync(new IPEndPoint(IPAddress.Loopback, _gateway.Port));
}
