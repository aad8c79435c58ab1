using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace OrleansMq.Gateways.Kafka;

/// <summary>A TCP port that serves a gateway, for a host without a web server.</summary>
public sealed class KafkaPort : IAsyncDisposable
{
    private readonly KafkaGateway _gateway;
    private readonly IConnectionListener _listener;
    private readonly ConcurrentDictionary<Task, byte> _served = new();
    private readonly Task _accepting;

    private KafkaPort(KafkaGateway gateway, IConnectionListener listener)
    {
        _gateway = gateway;
        _listener = listener;
        _accepting = AcceptAsync();
    }

    /// <summary>Where it listens, with the port that was taken.</summary>
    public IPEndPoint EndPoint => (IPEndPoint)_listener.EndPoint;

    /// <summary>Begins to listen.</summary>
    /// <param name="gateway">Serves the connections; it is not disposed with the port.</param>
    /// <param name="endPoint">Port 0 takes a free one.</param>
    /// <param name="cancellationToken">Gives up.</param>
    /// <exception cref="AddressInUseException">The port is taken.</exception>
    public static async Task<KafkaPort> ListenAsync(KafkaGateway gateway, IPEndPoint endPoint, CancellationToken cancellationToken = default)
    {
        var transport = new SocketTransportFactory(Options.Create(new SocketTransportOptions()), NullLoggerFactory.Instance);
        return new KafkaPort(gateway, await transport.BindAsync(endPoint, cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Stops listening, and waits for the connections to end: what is begun is answered.</summary>
    public async ValueTask DisposeAsync()
    {
        await _listener.UnbindAsync().ConfigureAwait(false);
        await _accepting.ConfigureAwait(false);
        _gateway.Drain();
        await Task.WhenAll(_served.Keys).ConfigureAwait(false);
        await _listener.DisposeAsync().ConfigureAwait(false);
    }

    private async Task AcceptAsync()
    {
        while (await _listener.AcceptAsync().ConfigureAwait(false) is { } connection)
        {
            var served = ServeAsync(connection);
            _served[served] = 0;
            _ = served.ContinueWith(done => _served.TryRemove(done, out _), TaskScheduler.Default);
        }
    }

    private async Task ServeAsync(ConnectionContext connection)
    {
        await Task.Yield();
        await using (connection.ConfigureAwait(false))
            await _gateway.ServeAsync(connection).ConfigureAwait(false);
    }
}
