using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Kafka.Connections;
using OrleansMq.Gateways.Kafka.Connections.Loops;
using OrleansMq.Networking;

namespace OrleansMq.Gateways.Kafka;

/// <summary>
/// A TCP port that serves a gateway. It uses its own sockets: a web server's connection would read a few KiB at a time and copy them twice.
/// Here a request is received straight into the memory that is written to the log.
/// </summary>
public sealed class KafkaPort : IAsyncDisposable
{
    // Connections waiting to be accepted; the system may allow fewer.
    private const int Backlog = 512;
    // The pause after a failed accept (no more open files).
    private static readonly TimeSpan AcceptPause = TimeSpan.FromMilliseconds(100);

    private readonly KafkaGateway _gateway;
    private readonly Socket _listener;
    private readonly ConcurrentDictionary<ClientSocket, Task> _served = new();
    // Connections are assigned to them in turn; while their requests are small, to only half of them.
    private readonly ConnectionLoop[] _loops;
    private int _nextLoop;
    private readonly Task _accepting;
    private volatile bool _isStopping;

    private KafkaPort(KafkaGateway gateway, Socket listener, ConnectionLoop[] loops)
    {
        _gateway = gateway;
        _listener = listener;
        _loops = loops;
        EndPoint = (IPEndPoint)listener.LocalEndPoint!;
        _accepting = AcceptAsync();
    }

    /// <summary>The endpoint, with the port that was bound.</summary>
    public IPEndPoint EndPoint { get; }

    /// <summary>Begins to listen.</summary>
    /// <param name="gateway">Serves the connections; it is not disposed with the port.</param>
    /// <param name="endPoint">Port 0 takes a free one. The IPv6 wildcard includes IPv4, and means IPv4 alone on a machine without
    /// IPv6.</param>
    /// <exception cref="SocketException">The port is taken, or the address is not one of this machine.</exception>
    public static KafkaPort Listen(KafkaGateway gateway, IPEndPoint endPoint)
    {
        ArgumentNullException.ThrowIfNull(gateway);
        ArgumentNullException.ThrowIfNull(endPoint);
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
            return new KafkaPort(gateway, listener, StartLoops(gateway));
        }
        catch
        {
            listener.Dispose();
            throw;
        }
    }

    /// <summary>Stops listening and waits for the connections to end; started requests are completed.</summary>
    public async ValueTask DisposeAsync() => await StopAsync(CancellationToken.None).ConfigureAwait(false);

    /// <summary>Stops listening and waits for the connections to end; started requests are completed.</summary>
    /// <param name="deadline">Cuts the remaining connections.</param>
    public async Task StopAsync(CancellationToken deadline)
    {
        _isStopping = true;
        _listener.Dispose();
        await _accepting.ConfigureAwait(false);
        _gateway.Drain();
        await Task.WhenAll(_served.Values).WaitAsync(deadline).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        // The last connection may have ended on a loop's thread, which must not wait for its own end.
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
                    continue; // The client left before it was accepted.
                _gateway.Log.Write(EngineLogLevel.Error,
                    $"Could not accept a Kafka connection: {fault.Message} Check the limit of open files.", fault);
                await Task.Delay(AcceptPause).ConfigureAwait(false);
            }
        }
    }

    private static ConnectionLoop[] StartLoops(KafkaGateway gateway)
    {
        var loops = new List<ConnectionLoop>();
        try
        {
            while (loops.Count < gateway.Loops)
                loops.Add(new ConnectionLoop(loops.Count, gateway.Log));
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
            var half = (_loops.Length + 1) / 2;
            return new LoopSocket(socket, _loops[_nextLoop], _loops[_nextLoop % half]);
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
            await _gateway.ServeAsync(socket).ConfigureAwait(false);
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            // The client left before its addresses could be read.
        }
        finally
        {
            Close(socket);
            _served.TryRemove(socket, out _);
        }
    }

    // Closing a connection with unread bytes resets it, and the client might not see its last answers.
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
            // The client closed it first.
        }
        socket.Dispose();
    }
}
