using System.Net.Sockets;
using OrleansMq.Gateways.Connections.Loops;

namespace OrleansMq.Gateways.Connections;

/// <summary>A client's socket as its connection uses it: one receive and one send at a time.</summary>
/// <param name="socket">The socket, which this object owns.</param>
internal abstract class ClientSocket(Socket socket) : IDisposable
{
    /// <summary>The system's socket: for its addresses, and to shut it down.</summary>
    public Socket Socket { get; } = socket;

    /// <summary>The loop that serves this socket where this is the loop's thread; null otherwise.</summary>
    public virtual ConnectionLoop? CurrentLoop => null;

    /// <summary>Whether the next request is expected to begin without waiting: then a loop's thread receives it.</summary>
    public virtual bool IsQuick { get => false; set { } }

    /// <summary>Whether the system sends files on the socket itself, without a copy through this process.</summary>
    public virtual bool SendsFiles => true;

    /// <summary>Receives some bytes.</summary>
    /// <returns>How many; 0 where the client disconnected.</returns>
    /// <exception cref="SocketException">The connection is broken.</exception>
    /// <exception cref="ObjectDisposedException">The socket was closed.</exception>
    public abstract ValueTask<int> ReceiveAsync(Memory<byte> into);

    /// <summary>Sends some of the bytes.</summary>
    /// <returns>How many.</returns>
    /// <exception cref="SocketException">The connection is broken.</exception>
    /// <exception cref="ObjectDisposedException">The socket was closed.</exception>
    public abstract ValueTask<int> SendAsync(ReadOnlyMemory<byte> bytes);

    /// <summary>Sends some of the bytes of all pieces, with one call.</summary>
    /// <returns>How many.</returns>
    /// <exception cref="SocketException">The connection is broken.</exception>
    /// <exception cref="ObjectDisposedException">The socket was closed.</exception>
    public abstract ValueTask<int> SendAsync(List<ArraySegment<byte>> pieces);

    /// <summary>Shuts a side of the connection down; the last word of the protocol below is sent before.</summary>
    /// <exception cref="SocketException">The connection has ended already.</exception>
    /// <exception cref="ObjectDisposedException">The socket was closed.</exception>
    public virtual void Shutdown(SocketShutdown side) => Socket.Shutdown(side);

    /// <summary>Says that nothing follows, where the protocol below has a word for it. Called once, when nothing is sent any
    /// more.</summary>
    public virtual ValueTask EndAsync() => default;

    /// <inheritdoc/>
    public virtual void Dispose() => Socket.Dispose();
}

/// <summary>A socket that .NET serves: its threads wait for all sockets, and the thread pool runs the continuations.</summary>
internal sealed class PooledSocket(Socket socket) : ClientSocket(socket)
{
    public override ValueTask<int> ReceiveAsync(Memory<byte> into) => Socket.ReceiveAsync(into, SocketFlags.None);

    public override ValueTask<int> SendAsync(ReadOnlyMemory<byte> bytes) => Socket.SendAsync(bytes, SocketFlags.None);

    public override ValueTask<int> SendAsync(List<ArraySegment<byte>> pieces) => new(Socket.SendAsync(pieces, SocketFlags.None));
}
