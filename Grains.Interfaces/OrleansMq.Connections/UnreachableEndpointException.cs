using System.Net;
using System.Net.Sockets;

namespace OrleansMq.Connections;

/// <summary>An endpoint could not be connected to. Orleans logs every attempt: as text it is one line, since the stack tells nothing
/// more.</summary>
internal sealed class UnreachableEndpointException(EndPoint endpoint, SocketException cause)
    : IOException($"Unable to connect to {endpoint}: {cause.SocketErrorCode}", cause)
{
    /// <inheritdoc/>
    public override string ToString() => Message;
}
