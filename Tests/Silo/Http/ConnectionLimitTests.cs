using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging;
using OrleansMq.Gateways.Http;
using OrleansMq.Silo.Logging;
using OrleansMq.Testing;
using OrleansMq.Tests.Shared;
using OrleansMq.Tls;

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
            using var excess = await TryConnectAsync(gateway);
            Assert.Equal("", excess is null ? "" : await AskAsync(excess, gateway));
        }
        Assert.Single(log.ToString().Split('\n'), static line => line.Contains("maximum number", StringComparison.Ordinal));

        open[0].Dispose();
        var answer = "";
        for (var patience = DateTime.UtcNow + RunningBroker.Patience; answer.Length == 0 && DateTime.UtcNow < patience;)
        {
            using var next = await TryConnectAsync(gateway);
            answer = next is null ? "" : await AskAsync(next, gateway);
        }
        Assert.StartsWith("HTTP/1.1 200", answer, StringComparison.Ordinal);
        open.ForEach(static client => client.Dispose());
    }

    [Fact]
    public async Task Clients_that_do_not_complete_the_TLS_handshake_leave_half_of_the_connections_to_others()
    {
        using var files = new TestCertificateFiles();
        var log = new LogText();
        using var console = new ConsoleLog(log, LogLevel.Information, new ManualTimeProvider());
        using var loggers = LoggerFactory.Create(logging => logging.AddProvider(console));
        await using var gateway = new HttpGateway(new HttpGatewayOptions
        {
            Listen = new IPEndPoint(IPAddress.Loopback, 0),
            Tls = new TlsOptions { Certificates = [files.Write(files.Authority.IssueServer())] },
            MaxConnections = 12,
            LoggerFactory = loggers,
        });
        await gateway.ListenAsync(CancellationToken.None);
        var complete = new List<SslStream>();
        for (var number = 0; number < 3; number++)
        {
            complete.Add(await SecureAsync(await ConnectAsync(gateway)));
            // It has left its place: the client's half of the handshake ends first.
            Assert.StartsWith("HTTP/1.1 200", await AskAsync(complete[^1], gateway), StringComparison.Ordinal);
        }
        // Six have a place beside those that have shaken hands.
        var silent = new List<TcpClient?>();
        for (var number = 0; number < 8; number++)
            silent.Add(await TryConnectAsync(gateway));
        for (var patience = DateTime.UtcNow + RunningBroker.Patience; silent.Count(IsClosed) < 2 && DateTime.UtcNow < patience;)
            await Task.Delay(5);
        var open = silent.OfType<TcpClient>().Where(static client => !IsClosed(client)).ToList();
        foreach (var client in open)
            complete.Add(await SecureAsync(client));
        Assert.Equal((6, 9), (open.Count, complete.Count));
        Assert.Contains("too many have not completed their TLS handshake yet. Allowed are 6", log.ToString(), StringComparison.Ordinal);

        // What has been answered has left its place to others.
        Assert.StartsWith("HTTP/1.1 200", await AskAsync(complete[^1], gateway), StringComparison.Ordinal);
        complete.Add(await SecureAsync(await ConnectAsync(gateway)));
        Assert.StartsWith("HTTP/1.1 200", await AskAsync(complete[^1], gateway), StringComparison.Ordinal);
        complete.ForEach(static client => client.Dispose());
        silent.ForEach(static client => client?.Dispose());

        static bool IsClosed(TcpClient? client) => client is null
            || (client.Client.Poll(0, SelectMode.SelectRead) && client.Available == 0);

        static async Task<SslStream> SecureAsync(TcpClient client)
        {
            var stream = new SslStream(client.GetStream(), leaveInnerStreamOpen: false, static (_, _, _, _) => true);
            await stream.AuthenticateAsClientAsync("localhost");
            return stream;
        }
    }

    private static async Task<TcpClient> ConnectAsync(HttpGateway gateway)
    {
        var client = new TcpClient();
        await client.ConnectAsync(gateway.EndPoint);
        return client;
    }

    /// <summary>Returns null where the connection is closed before it is known that it was there.</summary>
    private static async Task<TcpClient?> TryConnectAsync(HttpGateway gateway)
    {
        try
        {
            return await ConnectAsync(gateway);
        }
        catch (SocketException closed) when (closed.SocketErrorCode == SocketError.ConnectionReset)
        {
            return null;
        }
    }

    /// <summary>Returns the beginning of the answer; empty where the connection was closed.</summary>
    private static Task<string> AskAsync(TcpClient client, HttpGateway gateway) => AskAsync(client.GetStream(), gateway);

    private static async Task<string> AskAsync(Stream stream, HttpGateway gateway)
    {
        var bytes = new byte[100];
        try
        {
            await stream.WriteAsync(Encoding.ASCII.GetBytes($"GET /healthz HTTP/1.1\r\nHost: {gateway.EndPoint}\r\n\r\n"));
            return Encoding.ASCII.GetString(bytes, 0, await stream.ReadAsync(bytes).AsTask().WaitAsync(RunningBroker.Patience));
        }
        catch (IOException)
        {
            return "";
        }
    }
}
