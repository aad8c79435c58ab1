using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Options;
using Orleans.Networking.Shared;

namespace OrleansMq.Connections;

/// <summary>Listens for clients: each becomes a <see cref="SocketConnection"/>.</summary>
/// <param name="options">The sockets' options.</param>
/// <param name="ended">See <see cref="SocketConnection"/>.</param>
internal sealed class SocketListeners(IOptions<SocketConnectionOptions> options, Action<byte[]>? ended = null) : IConnectionListenerFactory
{
    // As many as may wait to be accepted when all clients come back at once.
    private const int Backlog = 512;
    private static readonly TimeSpan WhenFull = TimeSpan.FromMilliseconds(100);

    /// <inheritdoc/>
    /// <exception cref="AddressInUseException">Somebody else listens there.</exception>
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        var socket = SocketOptions.Create(endpoint.AddressFamily);
        try
        {
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
            if (endpoint is IPEndPoint { Address: var address } && address.Equals(IPAddress.IPv6Any))
                socket.DualMode = true;
            socket.Bind(endpoint);
            socket.Listen(Backlog);
            return new(new Listener(socket, options.Value, ended));
        }
        catch (SocketException taken) when (taken.SocketErrorCode == SocketError.AddressAlreadyInUse)
        {
            socket.Dispose();
            throw new AddressInUseException(taken.Message, taken);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private sealed class Listener(Socket socket, SocketConnectionOptions options, Action<byte[]>? ended) : IConnectionListener
    {
        public EndPoint EndPoint { get; } = socket.LocalEndPoint!;

        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
        {
            while (true)
            {
                try
                {
                    var accepted = await socket.AcceptAsync(cancellationToken).ConfigureAwait(false);
                    if (TryStart(accepted) is { } connection)
                        return connection;
                }
                catch (Exception unbound)
                    when (unbound is ObjectDisposedException
                        or SocketException { SocketErrorCode: SocketError.OperationAborted or SocketError.InvalidArgument })
                {
                    return null;
                }
                catch (SocketException full)
                    when (full.SocketErrorCode is SocketError.TooManyOpenSockets or SocketError.NoBufferSpaceAvailable)
                {
                    // Until others have gone.
                    await Task.Delay(WhenFull, cancellationToken).ConfigureAwait(false);
                }
                catch (SocketException)
                {
                    // It went while it waited to be accepted.
                }
            }
        }

        public ValueTask UnbindAsync(CancellationToken cancellationToken = default) => DisposeAsync();

        public ValueTask DisposeAsync()
        {
            socket.Dispose();
            return ValueTask.CompletedTask;
        }

        // Null where it has gone already.
        private SocketConnection? TryStart(Socket accepted)
        {
            try
            {
                options.Apply(accepted);
                var connection = new SocketConnection(accepted, ended);
                connection.Start();
                return connection;
            }
            catch (SocketException)
            {
                accepted.Dispose();
                return null;
            }
        }
    }
}
