using System.Collections.Concurrent;
using System.Net;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Tls;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Connections;

/// <summary>A client whose connection was accepted.</summary>
/// <param name="Socket">Its socket.</param>
/// <param name="Local">The address that the client dialled.</param>
/// <param name="Remote">The client's address.</param>
internal sealed record AcceptedClient(ClientSocket Socket, IPEndPoint Local, IPEndPoint Remote)
{
    /// <summary>The name of the listener that accepted it; empty where the gateway has one.</summary>
    public string Listener { get; init; } = "";

    /// <summary>Its place among the connections that have not authenticated, given back by disposing it; null where none is
    /// needed.</summary>
    public IDisposable? Place { get; init; }

    /// <summary>The client's name by its certificate, such as <c>User:CN=alice,O=Example</c>; null for a client without one.</summary>
    public string? CertificatePrincipal { get; init; }
}

/// <summary>
/// The connections of one gateway: their limits, those that are closed since their clients hold them up, and their draining. Connections
/// that are accepted before <see cref="Open"/> wait. Thread safe.
/// </summary>
internal sealed class ConnectionServer : IAsyncDisposable
{
    // How often connections are looked at: several times in a window of their pace.
    private static readonly TimeSpan WatchInterval = ReceivePace.Window / 3;

    private readonly ConcurrentDictionary<IServedConnection, byte> _connections = new();
    private readonly ConcurrentDictionary<IPAddress, int> _addresses = new();
    private readonly TaskCompletionSource<Func<AcceptedClient, IServedConnection>> _opened =
        new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ITimer _watch;
    private readonly RareLine _refused;
    private readonly RareLine _slow;
    private readonly RareLine _unread;
    private readonly RareLine _full;
    private readonly RareLine _malformed;
    private readonly Handshakes _handshakes;
    private readonly CancellationTokenSource _drained = new();
    private int _isWatching;
    private bool _requestsWaited;
    private volatile bool _isDraining;

    /// <param name="protocol">The protocol's name in log lines and metrics, such as <c>Kafka</c>.</param>
    /// <param name="limits">What the connections may use.</param>
    /// <param name="timeProvider">The clock.</param>
    /// <param name="log">Where log lines go.</param>
    public ConnectionServer(string protocol, ConnectionLimits limits, TimeProvider timeProvider, EngineLog log)
    {
        (Protocol, Limits, TimeProvider, Log) = (protocol, limits, timeProvider, log);
        Metrics = new ConnectionMetrics(protocol);
        InFlight = new FrameBudget(limits.MaxInFlightBytes);
        _refused = new RareLine(log, timeProvider);
        _slow = new RareLine(log, timeProvider);
        _unread = new RareLine(log, timeProvider);
        _full = new RareLine(log, timeProvider);
        _malformed = new RareLine(log, timeProvider);
        _handshakes = new Handshakes(protocol, Metrics, timeProvider, log);
        var interval = limits.MaxIdle / 10 < WatchInterval ? limits.MaxIdle / 10 : WatchInterval;
        _watch = timeProvider.CreateTimer(static server => ((ConnectionServer)server!).Watch(), this, interval, interval);
    }

    /// <summary>The protocol's name in log lines.</summary>
    public string Protocol { get; }

    /// <summary>What the connections may use.</summary>
    public ConnectionLimits Limits { get; }

    /// <summary>The clock.</summary>
    public TimeProvider TimeProvider { get; }

    /// <summary>Where log lines go.</summary>
    public EngineLog Log { get; }

    /// <summary>The connections, counted.</summary>
    public ConnectionMetrics Metrics { get; }

    /// <summary>Bytes of requests in flight on all connections.</summary>
    public FrameBudget InFlight { get; }

    /// <summary>How much of a file one connection reads at once.</summary>
    public PieceSizes Pieces { get; } = new();

    /// <summary>How long a connection from an address waits before it is served; null where it is not. Set before
    /// <see cref="Open"/>.</summary>
    public Func<IPAddress, TimeSpan?>? Admission { get; set; }

    /// <summary>Bounds the connections that have not authenticated, from their first byte on; null: nothing does, or the protocol itself.
    /// Set before <see cref="Open"/>.</summary>
    public UnauthenticatedConnections? Unauthenticated { get; init; }

    /// <summary>Bounds the connections with a TLS handshake that has not ended, where <see cref="Unauthenticated"/> does not count them;
    /// null: nothing does. Set before <see cref="Open"/>.</summary>
    public UnauthenticatedConnections? Handshaking { get; init; }

    /// <summary>The connections that are served.</summary>
    public IEnumerable<IServedConnection> Connections => _connections.Select(static pair => pair.Key);

    /// <summary>Serves connections from now on, those that wait first.</summary>
    /// <param name="create">Creates the protocol's side of a connection.</param>
    public void Open(Func<AcceptedClient, IServedConnection> create) => _opened.TrySetResult(create);

    /// <summary>Serves one connection until it ends.</summary>
    /// <param name="socket">The client's socket.</param>
    /// <param name="listener">The name of the listener that accepted it.</param>
    public async Task ServeAsync(ClientSocket socket, string listener = "")
    {
        var client = new AcceptedClient(socket, EndPointOf(socket.Socket.LocalEndPoint), EndPointOf(socket.Socket.RemoteEndPoint))
        {
            Listener = listener,
        };
        if (!TryEnter(client.Remote.Address))
            return;
        try
        {
            if (Admission is { } admission && !await IsAdmittedAsync(admission(client.Remote.Address), client.Remote.Address)
                .ConfigureAwait(false))
                return;
            if (Unauthenticated is { } waiting)
            {
                if (waiting.Enter(client.Remote.Address) is not { } place)
                {
                    Metrics.Refused();
                    return;
                }
                client = client with { Place = place };
            }
            if (socket is TlsSocket secured)
            {
                if (!await TryHandshakeAsync(secured, client).ConfigureAwait(false))
                    return;
                client = client with { CertificatePrincipal = secured.Principal };
            }
            var create = await _opened.Task.ConfigureAwait(false);
            var connection = create(client);
            _connections[connection] = 0;
            if (_isDraining)
                connection.Stop();
            try
            {
                await connection.RunAsync().ConfigureAwait(false);
            }
            finally
            {
                _connections.TryRemove(connection, out _);
            }
        }
        catch (OperationCanceledException) when (_opened.Task.IsCanceled)
        {
            // The gateway stops before it served.
        }
        finally
        {
            client.Place?.Dispose();
            Leave(client.Remote.Address);
        }
    }

    /// <summary>Begins to stop: no further requests are read, long polls end, and requests in flight are answered.</summary>
    public void Drain()
    {
        _isDraining = true;
        _drained.Cancel();
        _opened.TrySetCanceled();
        _handshakes.Drain();
        foreach (var connection in _connections.Keys)
            connection.Stop();
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        Drain();
        return _watch.DisposeAsync();
    }

    /// <summary>Notes that a connection is closed since its client broke the protocol.</summary>
    public void Malformed(IPEndPoint client, MalformedRequestException fault)
    {
        _malformed.Write(EngineLogLevel.Warning, $"The {Protocol} connection from {client} is closed: {fault.Message}.");
        Metrics.Malformed();
    }

    private async ValueTask<bool> TryHandshakeAsync(TlsSocket socket, AcceptedClient client)
    {
        using var place = Handshaking?.Enter(client.Remote.Address);
        if (Handshaking is null || place is not null)
            return await _handshakes.TryAsync(socket, client).ConfigureAwait(false);
        Metrics.Refused();
        return false;
    }

    private bool TryEnter(IPAddress address)
    {
        var count = _addresses.AddOrUpdate(address, 1, static (_, before) => before + 1);
        Metrics.Accepted();
        var isTooMany = Metrics.Open > Limits.MaxConnections;
        if (!isTooMany && count <= Limits.MaxConnectionsPerAddress)
            return true;
        Leave(address);
        Metrics.Refused();
        _refused.Write(EngineLogLevel.Warning, $"A {Protocol} connection from {address} was closed: "
            + (isTooMany ? $"{Limits.MaxConnections} are open, all that this process may have." : $"that address already has "
            + $"{Limits.MaxConnectionsPerAddress}."));
        return false;
    }

    private async ValueTask<bool> IsAdmittedAsync(TimeSpan? wait, IPAddress address)
    {
        if (wait == TimeSpan.Zero)
            return true;
        if (wait is not { } time)
        {
            Metrics.Refused();
            _refused.Write(EngineLogLevel.Warning, $"A {Protocol} connection from {address} was closed: that address has made more "
                + "connections than its quota allows.");
            return false;
        }
        await Task.Delay(time, TimeProvider, _drained.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return !_drained.IsCancellationRequested;
    }

    private void Leave(IPAddress address)
    {
        var left = _addresses.AddOrUpdate(address, 0, static (_, before) => before - 1);
        if (left == 0)
            _addresses.TryRemove(new KeyValuePair<IPAddress, int>(address, 0));
        Metrics.Closed();
    }

    private void Watch()
    {
        if (Interlocked.Exchange(ref _isWatching, 1) != 0)
            return; // The timer is faster than a look at all connections.
        var waiting = InFlight.Waiting;
        foreach (var (connection, _) in _connections)
            Watch(connection, isScarce: waiting > 0);
        if (waiting > 0 && _requestsWaited)
            _full.Write(EngineLogLevel.Warning, $"{waiting} {Protocol} requests wait for memory: those in flight use "
                + $"{InFlight.Used} bytes, {Limits.MaxInFlightBytes} are allowed.");
        _requestsWaited = waiting > 0;
        Volatile.Write(ref _isWatching, 0);
    }

    private void Watch(IServedConnection connection, bool isScarce)
    {
        if (connection.ReceivesTooSlowly(isScarce))
        {
            _slow.Write(EngineLogLevel.Warning, $"The {Protocol} connection from {connection.RemoteEndPoint} is closed: a request arrives "
                + (isScarce ? "too slowly while others wait for memory."
                : $"with less than {ReceivePace.MinBytesPerSecond} bytes per second."));
            connection.Stop();
        }
        else if (connection.SendsTooSlowly())
        {
            _unread.Write(EngineLogLevel.Warning, $"The {Protocol} connection from {connection.RemoteEndPoint} is closed: the client has "
                + $"received less than {SendPace.MinBytesPerSecond} bytes per second of an answer for {Limits.MaxIdle.TotalSeconds:0} s.");
            connection.Cut();
        }
        else if (connection.Idle > Limits.MaxIdle)
        {
            connection.Stop();
        }
    }

    private static IPEndPoint EndPointOf(EndPoint? endPoint)
    {
        if (endPoint is not IPEndPoint ip)
            return new IPEndPoint(IPAddress.Loopback, 0);
        return ip.Address.IsIPv4MappedToIPv6 ? new IPEndPoint(ip.Address.MapToIPv4(), ip.Port) : ip;
    }
}
