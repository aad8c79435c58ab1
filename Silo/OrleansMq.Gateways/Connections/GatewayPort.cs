using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Connections.Loops;

namespace OrleansMq.Gateways.Connections;

/// <summary>
/// A TCP port that accepts connections for a gateway. It uses sockets of its own: a web server's connection reads a few KiB at a time and
/// copies them twice, while a gateway receives a request straight into the memory that goes to the log.
/// </summary>
internal sealed class GatewayPort : IAsyncDisposable
{
    // Connections that wait to be accepted; the system may allow fewer.
    private const int Backlog = 512;
    // The pause after a failed accept, as when no more files can be opened.
    private static readonly TimeSpan AcceptPause = TimeSpan.FromMilliseconds(100);

    private readonly ConnectionServer _server;
    private readonly Socket _listener;
    private readonly ConcurrentDictionary<ClientSocket, Task> _served = new();
    // Connections are assigned to them in turn.
    private readonly ConnectionLoop[] _loops;
    private int _nextLoop;
    private readonly Task _accepting;
    private volatile bool _isStopping;

    private GatewayPort(ConnectionServer server, Socket listener, ConnectionLoop[] loops)
    {
        _server = server;
        _listener = listener;
        _loops = loops;
        EndPoint = (IPEndPoint)listener.LocalEndPoint!;
        _accepting = AcceptAsync();
    }

    /// <summary>The endpoint that it listens on, with the port that was taken.</summary>
    public IPEndPoint EndPoint { get; }

    /// <summary>Begins to listen.</summary>
    /// <param name="server">Serves the connections; it is not disposed with the port.</param>
    /// <param name="endPoint">Port 0 takes a free port. The IPv6 any address includes IPv4, and stands for IPv4 alone on a machine without
    /// IPv6.</param>
    /// <exception cref="SocketException">The port is in use, or the address is not one of this machine.</exception>
    public static GatewayPort Listen(ConnectionServer server, IPEndPoint endPoint)
    {
        var isAny = endPoint.Address.Equals(IPAddress.IPv6Any);
        if (isAny && !Socket.OSSupportsIPv6)
            endPoint = new IPEndPoint(IPAddress.Any, endPoint.Port);
        var listener = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (endPoint.Address.Equals(IPAddress.IPv6Any))
                listener.DualMode = true;
            listener.Bind(endPoint);
            listener.Listen(Backlog);
            return new GatewayPort(server, listener, StartLoops(server));
        }
        catch
        {
            listener.Dispose();
            throw;
        }
    }

    /// <summary>Stops listening, and returns once every connection has ended. Requests in flight are answered.</summary>
    public async ValueTask DisposeAsync() => await StopAsync(CancellationToken.None).ConfigureAwait(false);

    /// <summary>Stops listening, and returns once every connection has ended. Requests in flight are answered.</summary>
    /// <param name="deadline">Cuts the connections that are left.</param>
    public async Task StopAsync(CancellationToken deadline)
    {
        _isStopping = true;
        _listener.Dispose();
        await _accepting.ConfigureAwait(false);
        _server.Drain();
        await Task.WhenAll(_served.Values).WaitAsync(deadline).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        // The last connection may have ended on a loop's thread, which cannot join itself.
        await LoopExit.Now;
        foreach (var socket in _served.Keys)
            socket.Dispose();
        foreach (var loop in _loops)
            loop.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!_isStopping)
        {
            try
            {
                var socket = Own(await _listener.AcceptAsync().ConfigureAwait(false));
                var begin = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                _served[socket] = ServeAsync(socket, begin.Task);
                begin.SetResult();
            }
            catch (ObjectDisposedException)
            {
                return;
            }
            catch (SocketException fault)
            {
                if (_isStopping)
                    return;
                if (fault.SocketErrorCode is SocketError.ConnectionReset or SocketError.ConnectionAborted)
                    continue; // The client disconnected before it was accepted.
                _server.Log.Write(EngineLogLevel.Error,
                    $"Could not accept a {_server.Protocol} connection: {fault.Message} Check the limit of open files.", fault);
                await Task.Delay(AcceptPause).ConfigureAwait(false);
            }
        }
    }

    private static ConnectionLoop[] StartLoops(ConnectionServer server)
    {
        var loops = new List<ConnectionLoop>();
        try
        {
            while (loops.Count < server.Limits.SupportedLoops)
                loops.Add(new ConnectionLoop($"{server.Protocol.ToLowerInvariant()}-loop-{loops.Count}", server.Log));
            return [.. loops];
        }
        catch
        {
            loops.ForEach(static loop => loop.Dispose());
            throw;
        }
    }

    private ClientSocket Own(Socket socket)
    {
        if (_loops.Length == 0)
            return new PooledSocket(socket);
        try
        {
            _nextLoop = (_nextLoop + 1) % _loops.Length;
            return new LoopSocket(socket, _loops[_nextLoop]);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private async Task ServeAsync(ClientSocket socket, Task begin)
    {
        await begin.ConfigureAwait(false);
        try
        {
            socket.Socket.NoDelay = true;
            LocalConnections.LeaveUnpaced(socket.Socket);
            await _server.ServeAsync(socket).ConfigureAwait(false);
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            // The client disconnected before its addresses were read.
        }
        finally
        {
            Close(socket);
            _served.TryRemove(socket, out _);
        }
    }

    // Closing a connection with unread bytes resets it, and the client may lose its last responses.
    private static void Close(ClientSocket socket)
    {
        try
        {
            socket.Socket.Shutdown(SocketShutdown.Both);
            Span<byte> unread = stackalloc byte[4096];
            for (var left = 256; left > 0 && socket.Socket.Receive(unread) > 0; left--)
            {
            }
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            // The client has closed the connection already.
        }
        socket.Dispose();
    }
}
