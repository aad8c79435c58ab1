using System.Net;
using System.Net.Sockets;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Alarms;
using OrleansMq.Gateways.Amqp.Connections;
using OrleansMq.Gateways.Connections;

namespace OrleansMq.Gateways.Amqp;

/// <summary>A port that speaks AMQP 0-9-1 over an <see cref="IAmqpAccess"/>. Thread safe.</summary>
internal sealed class AmqpServer : IAsyncDisposable
{
    // How long a client may leave what was sent unread.
    private static readonly TimeSpan MaxUnread = TimeSpan.FromMinutes(10);

    private readonly ConnectionServer _server;
    private readonly GatewayPort _port;

    private AmqpServer(ConnectionServer server, GatewayPort port) => (_server, _port) = (server, port);

    /// <summary>The endpoint that it listens on.</summary>
    public IPEndPoint EndPoint => _port.EndPoint;

    /// <summary>Listens, and serves.</summary>
    /// <param name="listen">The endpoint; port 0 takes a free one.</param>
    /// <param name="settings">What connections offer and allow.</param>
    /// <param name="access">Decides who may connect, and opens virtual hosts.</param>
    /// <param name="timeProvider">The clock.</param>
    /// <param name="log">Where log lines go.</param>
    /// <param name="alarms">Say when publishers are blocked; null: never.</param>
    /// <exception cref="SocketException">The port is in use, or the address is not one of this machine.</exception>
    public static AmqpServer Start(IPEndPoint listen, ConnectionSettings settings, IAmqpAccess access, TimeProvider timeProvider,
        EngineLog log, ResourceAlarms? alarms = null)
    {
        var server = new ConnectionServer("AMQP", new ConnectionLimits
        {
            MaxConnections = int.MaxValue,
            MaxConnectionsPerAddress = int.MaxValue,
            MaxIdle = MaxUnread,
            MaxInFlightBytes = long.MaxValue,
            MaxInFlightBytesPerConnection = settings.MaxInFlightBytes,
            Loops = 0,
        }, timeProvider, log);
        server.Open(client => new AmqpConnection(server, client, settings, access, alarms));
        return new AmqpServer(server, GatewayPort.Listen(server, listen));
    }

    /// <summary>Stops listening, closes all connections with 320 and returns once they have ended.</summary>
    /// <param name="deadline">Cuts those that are left.</param>
    public Task StopAsync(CancellationToken deadline) => _port.StopAsync(deadline);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopAsync(new CancellationToken(canceled: true)).ConfigureAwait(false);
        await _server.DisposeAsync().ConfigureAwait(false);
    }
}
