using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Options;
using Orleans.Networking.Shared;

namespace OrleansMq.Connections;

/// <summary>Makes connections to silos: <see cref="SocketConnection"/>.</summary>
internal sealed class SocketConnections(IOptions<SocketConnectionOptions> options) : IConnectionFactory
{
    /// <inheritdoc/>
    /// <exception cref="UnreachableEndpointException">Nothing listens there, or it cannot be reached.</exception>
    public async ValueTask<ConnectionContext> ConnectAsync(EndPoint endpoint, CancellationToken cancellationToken = default)
    {
        var socket = SocketOptions.Create(endpoint.AddressFamily);
        try
        {
            options.Value.Apply(socket);
            await socket.ConnectAsync(endpoint, cancellationToken).ConfigureAwait(false);
            var connection = new SocketConnection(socket);
            connection.Start();
            return connection;
        }
        catch (SocketException refused)
        {
            socket.Dispose();
            throw new UnreachableEndpointException(endpoint, refused);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
