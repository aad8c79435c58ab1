using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging;
using OrleansMq.Gateways.Http;
using OrleansMq.Silo.Logging;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Silo.Http;

/// <summary>More connections than the HTTP API may have.</summary>
public sealed class ConnectionLimitTests
{
    [Fact]
    public async Task Connections_above_the_limit_are_closed_with_one_log_line()
    {
        var log = new LogText();
        var time = new ManualTimeProvider();
        using var console = new ConsoleLog(log, LogLevel.Information, time);
        using var loggers = LoggerFactory.Create(logging => logging.AddProvider(console));
        await using var gateway = new HttpGateway(new HttpGatewayOptions
        {
            Listen = new IPEndPoint(IPAddress.Loopback, 0),
            MaxConnections = 3,
            LoggerFactory = loggers,
        });
        await gateway.ListenAsync(CancellationToken.None);
        var open = new List<TcpClient>();
        for (var number = 0; number < 3; number++)
        {
            open.Add(await ConnectAsync(gateway));
            Assert.StartsWith("HTTP/1.1 200", await AskAsync(open[^1], gateway), StringComparison.Ordinal);
        }
        for (var number = 0; number < 5; number++)
        {
            using var excess = await ConnectAsync(gateway);
            Assert.Equal("", await AskAsync(excess, gateway));
        }
        Assert.Single(log.ToString().Split('\n'), static line => line.Contains("maximum number", StringComparison.Ordinal));

        open[0].Dispose();
        var answer = "";
        for (var patience = DateTime.UtcNow + RunningBroker.Patience; answer.Length == 0 && DateTime.UtcNow < patience;)
        {
            using var next = await ConnectAsync(gateway);
            answer = await AskAsync(next, gateway);
        }
        Assert.StartsWith("HTTP/1.1 200", answer, StringComparison.Ordinal);
        open.ForEach(static client => client.Dispose());
    }

    private static async Task<TcpClient> ConnectAsync(HttpGateway gateway)
    {
        var client = new TcpClient();
        await client.ConnectAsync(gateway.EndPoint);
        return client;
    }

    /// <summary>Returns the beginning of the answer; empty where the connection was closed.</summary>
    private static async Task<string> AskAsync(TcpClient client, HttpGateway gateway)
    {
        var bytes = new byte[100];
        try
        {
            await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes($"GET /healthz HTTP/1.1\r\nHost: {gateway.EndPoint}\r\n\r\n"));
            return Encoding.ASCII.GetString(bytes, 0, await client.GetStream().ReadAsync(bytes).AsTask().WaitAsync(RunningBroker.Patience));
        }
        catch (IOException)
        {
            return "";
        }
    }
}
