using System.Net;
using System.Net.Sockets;
using OrleansMq.Gateways.Connections;
using OrleansMq.Tests.Kafka.Codec;

namespace OrleansMq.Tests.Kafka.Connections;

/// <summary>A port whose system refuses connections for a while.</summary>
public sealed class AcceptTests
{
    private static readonly ConnectionLimits _limits = new()
    {
        MaxConnections = 10,
        MaxConnectionsPerAddress = 10,
        MaxIdle = TimeSpan.FromMinutes(10),
        MaxInFlightBytes = 1 << 20,
        MaxInFlightBytesPerConnection = 1 << 20,
        Loops = 1,
    };

    [Fact]
    public async Task Port_accepts_again_after_any_fault_and_stops()
    {
        var log = new RecordedLog();
        var faults = new Queue<Exception>([new InvalidOperationException("unexpected"),
            new SocketException((int)SocketError.TooManyOpenSockets), new SocketException((int)SocketError.ConnectionReset)]);
        await using var server = new ConnectionServer("Test", _limits, TimeProvider.System, log);
        server.Open(client => new OneRequest(server, client));
        await using var port = GatewayPort.Listen(server, new IPEndPoint(IPAddress.Loopback, 0),
            listener => faults.TryDequeue(out var fault) ? Task.FromException<Socket>(fault) : listener.AcceptAsync());
        for (var number = 0; number < 3; number++)
        {
            using var client = new TcpClient();
            await client.ConnectAsync(port.EndPoint);
            await client.GetStream().WriteAsync(new byte[] { 1, 1 });
            Assert.Equal(0, await client.GetStream().ReadAsync(new byte[1]).AsTask().WaitAsync(KafkaServer.Patience));
        }
        await port.StopAsync(CancellationToken.None).WaitAsync(KafkaServer.Patience);
        // A minute has one line.
        Assert.Contains("unexpected", Assert.Single(log.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Connections_detect_a_client_whose_machine_is_gone()
    {
        var accepted = new TaskCompletionSource<Socket>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = new ConnectionServer("Test", _limits, TimeProvider.System, new RecordedLog());
        server.Open(client =>
        {
            accepted.SetResult(client.Socket.Socket);
            return new OneRequest(server, client);
        });
        await using var port = GatewayPort.Listen(server, new IPEndPoint(IPAddress.Loopback, 0));
        using var client = new TcpClient();
        await client.ConnectAsync(port.EndPoint);
        var socket = await accepted.Task.WaitAsync(KafkaServer.Patience);
        Assert.NotEqual(0, socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive));
    }

    /// <summary>A connection that is closed after a frame of one byte.</summary>
    private sealed class OneRequest(ConnectionServer server, AcceptedClient client) : GatewayConnection(server, client)
    {
        protected override int HeadBytes => 1;

        protected override int LengthOf(ReadOnlySpan<byte> head) => head[0];

        protected override ValueTask BeginAsync(RequestFrame frame)
        {
            Release(frame);
            if (Responses.Add(new ValueTask<Response?>(Response.Close())))
                Responses.SendReady();
            return default;
        }
    }
}
