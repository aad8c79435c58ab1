using System.Net.Sockets;
using OrleansMq.Gateways.Kafka.Connections.Loops;

namespace OrleansMq.Gateways.Kafka.Connections;

/// <summary>A client's socket, as its connection uses it: one receives at a time, and one sends.</summary>
/// <param name="socket">The socket, which it owns.</param>
internal abstract class ClientSocket(Socket socket) : IDisposable
{
    /// <summary>The socket itself: for its addresses, and to shut it down.</summary>
    public Socket Socket { get; } = socket;

    /// <summary>The loop whose thread this is, where it serves this socket; null otherwise.</summary>
    public virtual ConnectionLoop? Turn => null;

    /// <summary>Whether what comes next will be dealt with in a moment: then a loop's own thread receives it.</summary>
    public virtual bool IsQuick { get => false; set { } }

    /// <summary>Notes the size of a request, and has another loop serve the socket from now on where that is better with what it sends
    /// lately. On its loop's thread.</summary>
    /// <returns>Whether it did: then the thread is to be left.</returns>
    public virtual bool TryMove(int requestBytes) => false;

    /// <summary>Receives some bytes.</summary>
    /// <returns>How many; 0 where the client has gone.</returns>
    /// <exception cref="SocketException">The connection is broken.</exception>
    /// <exception cref="ObjectDisposedException">It was closed.</exception>
    public abstract ValueTask<int> ReceiveAsync(Memory<byte> into);

    /// <summary>Sends some of the bytes.</summary>
    /// <returns>How many.</returns>
    /// <exception cref="SocketException">The connection is broken.</exception>
    /// <exception cref="ObjectDisposedException">It was closed.</exception>
    public abstract ValueTask<int> SendAsync(ReadOnlyMemory<byte> bytes);

    /// <summary>Sends some of the bytes of all pieces, with one call.</summary>
    /// <returns>How many.</returns>
    /// <exception cref="SocketException">The connection is broken.</exception>
    /// <exception cref="ObjectDisposedException">It was closed.</exception>
    public abstract ValueTask<int> SendAsync(List<ArraySegment<byte>> pieces);

    /// <inheritdoc/>
    public virtual void Dispose() => Socket.Dispose();
}

/// <summary>A socket as .NET serves it: its threads wait for all sockets, and threads of the pool do what there is to do.</summary>
internal sealed class PooledSocket(Socket socket) : ClientSocket(socket)
{
    public override ValueTask<int> ReceiveAsync(Memory<byte> into) => Socket.ReceiveAsync(into, SocketFlags.None);

    public override ValueTask<int> SendAsync(ReadOnlyMemory<byte> bytes) => Socket.SendAsync(bytes, SocketFlags.None);

    public override ValueTask<int> SendAsync(List<ArraySegment<byte>> pieces) => new(Socket.SendAsync(pieces, SocketFlags.None));
}
