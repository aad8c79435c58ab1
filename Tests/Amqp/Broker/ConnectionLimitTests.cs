using System.Net;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Tests.Amqp.Sockets;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>More connections than an address may have.</summary>
public sealed class ConnectionLimitTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _directory = Directory.CreateTempSubdirectory("omq-connections").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Connections_of_an_address_above_its_limit_are_closed_with_one_log_line_until_others_have_ended()
    {
        await using var gateway = await RunningGateway.StartAsync(_directory,
            configure: static options => options with { MaxConnectionsPerAddress = 2 });
        var endPoint = new IPEndPoint(IPAddress.Loopback, gateway.Port);
        await using var first = await WireClient.OpenAsync(endPoint);
        await using (await WireClient.OpenAsync(endPoint))
        {
            for (var number = 0; number < 3; number++)
            {
                await using var excess = await WireClient.ConnectAsync(endPoint);
                Assert.Null(await excess.ReceiveAsync());
            }
            Assert.Contains("already has 2", Assert.Single(gateway.Log.Lines, static line => line.Contains("was closed",
                StringComparison.Ordinal)), StringComparison.Ordinal);
        }
        // The end of a connection is noticed in its own time.
        for (var deadline = DateTime.UtcNow + Patience; ;)
        {
            await using var later = await WireClient.ConnectAsync(endPoint);
            if (await IsServedAsync(later))
                break;
            Assert.True(DateTime.UtcNow < deadline, "No place became free.");
            await Task.Delay(10);
        }
    }

    // One that is closed before it has sent may also be reset.
    private static async Task<bool> IsServedAsync(WireClient client)
    {
        try
        {
            await client.SendAsync(ProtocolHeader.Amqp091.ToArray());
            return await client.ReceiveMethodAsync() is not null;
        }
        catch (System.Net.Sockets.SocketException)
        {
            return false;
        }
    }
}
