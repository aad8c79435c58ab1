using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Connections.Loops;
using OrleansMq.Gateways.Tls;
using OrleansMq.Tls;

namespace OrleansMq.Gateways.Connections;

/// <summary>
/// A TCP port that accepts connections for a gateway. It uses sockets of its own: a web server's connection reads a few KiB at a time and
/// copies them twice, while a gateway receives a request straight into the memory that goes to the log.
/// </summary>
internal sealed class GatewayPort : IAsyncDisposable
{
    // Connections that wait to be accepted; the system may allow fewer.
    private const int Backlog = 512;
    // The pause after a failed accept, as when no more files can be opened: connections wait in the system's queue meanwhile.
    private static readonly TimeSpan AcceptPause = TimeSpan.FromMilliseconds(100);

    private readonly ConnectionServer _server;
    private readonly Socket _listener;
    private readonly string _name;
    private readonly WatchedCertificates? _certificates;
    private readonly Func<Socket, Task<Socket>> _accept;
    private readonly RareLine _faults;
    private readonly ConcurrentDictionary<ClientSocket, Task> _served = new();
    // Connections are assigned to them in turn.
    private readonly ConnectionLoop[] _loops;
    private int _nextLoop;
    private readonly Task _accepting;
    private volatile bool _isStopping;

    private GatewayPort(ConnectionServer server, Socket listener, ConnectionLoop[] loops, Func<Socket, Task<Socket>> accept,
        WatchedCertificates? certificates, string name)
    {
        (_server, _certificates, _name) = (server, certificates, name);
        _listener = listener;
        _accept = accept;
        _faults = new RareLine(server.Log, server.TimeProvider);
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
    /// <param name="accept">Accepts a connection; null for the system's way.</param>
    /// <param name="certificates">Those of a port that speaks TLS, which does not own them; null for a plain one.</param>
    /// <param name="name">The listener's name for its connections.</param>
    /// <exception cref="SocketException">The port is in use, or the address is not one of this machine.</exception>
    public static GatewayPort Listen(ConnectionServer server, IPEndPoint endPoint, Func<Socket, Task<Socket>>? accept = null,
        WatchedCertificates? certificates = null, string name = "")
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
            // Loops send and receive by themselves, which TLS does not allow.
            return new GatewayPort(server, listener, certificates is null ? StartLoops(server) : [],
                accept ?? (static socket => socket.AcceptAsync()), certificates, name);
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

    // Goes on after any fault: a port that accepts no more looks alive and serves no client.
    private async Task AcceptAsync()
    {
        while (!_isStopping)
        {
            Socket? accepted = null;
            try
            {
                accepted = await _accept(_listener).ConfigureAwait(false);
                Serve(accepted);
            }
            catch (Exception fault)
            {
                accepted?.Dispose();
                if (_isStopping)
                    return;
                if (accepted is null && IsClientGone(fault))
                    continue; // The client disconnected before it was accepted.
                _faults.Write(EngineLogLevel.Error,
                    $"Could not accept a {_server.Protocol} connection: {fault.Message}{AdviceOn(fault)}", fault);
                await Task.Delay(AcceptPause).ConfigureAwait(false);
            }
        }
    }

    private void Serve(Socket accepted)
    {
        var socket = Own(accepted);
        var begin = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _served[socket] = ServeAsync(socket, begin.Task);
        begin.SetResult();
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

    private static bool IsClientGone(Exception fault) =>
        fault is SocketException { SocketErrorCode: SocketError.ConnectionReset or SocketError.ConnectionAborted };

    private static string AdviceOn(Exception fault) =>
        fault is SocketException { SocketErrorCode: SocketError.TooManyOpenSockets } ? " Raise the limit of open files." : "";

    private ClientSocket Own(Socket socket)
    {
        if (_certificates is not null)
            return new TlsSocket(socket, _certificates);
        if (_loops.Length == 0)
            return new PooledSocket(socket);
        _nextLoop = (_nextLoop + 1) % _loops.Length;
        return new LoopSocket(socket, _loops[_nextLoop]);
    }

    private async Task ServeAsync(ClientSocket socket, Task begin)
    {
        await begin.ConfigureAwait(false);
        try
        {
            socket.Socket.NoDelay = true;
            KeepAlive(socket.Socket);
            LocalConnections.LeaveUnpaced(socket.Socket);
            await _server.ServeAsync(socket, _name).ConfigureAwait(false);
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            // The client disconnected before its addresses were read.
        }
        catch (Exception fault)
        {
            _server.Log.Write(EngineLogLevel.Error, $"A bug in OrleansMq ended a {_server.Protocol} connection. Please report it.", fault);
        }
        finally
        {
            await socket.EndAsync().ConfigureAwait(false);
            Close(socket);
            _served.TryRemove(socket, out _);
        }
    }

    // A client whose machine is gone says nothing: the system asks, and ends the connection after two minutes without an answer.
    private static void KeepAlive(Socket socket)
    {
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, 60);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 15);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 4);
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
