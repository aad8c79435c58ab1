using System.Collections.Concurrent;
using System.Net;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Clusters;
using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Kafka.Connections;
using OrleansMq.Gateways.Kafka.Connections.Loops;

namespace OrleansMq.Gateways.Kafka;

/// <summary>
/// The Kafka protocol in front of a broker. A <see cref="KafkaPort"/> passes it connections; those that arrive before <see cref="Open"/>
/// wait. Thread safe.
/// </summary>
public sealed class KafkaGateway : IAsyncDisposable
{
    private readonly ConcurrentDictionary<KafkaConnection, byte> _connections = new();
    private readonly ConcurrentDictionary<IPAddress, int> _addresses = new();
    private readonly TaskCompletionSource<GatewayServices> _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly KafkaGatewayOptions _options;
    private readonly ITimer _sweep;
    private volatile bool _isStopping;

    /// <param name="options">Limits and behaviour.</param>
    public KafkaGateway(KafkaGatewayOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        _options = options;
        InFlight = new ByteBudget(options.MaxInFlightBytes);
        var interval = options.MaxIdle / 10;
        _sweep = options.TimeProvider.CreateTimer(static gateway => ((KafkaGateway)gateway!).CloseIdle(), this, interval, interval);
    }

    /// <summary>The gateway's instruments.</summary>
    public KafkaMetrics Metrics { get; } = new();

    internal ByteBudget InFlight { get; }

    internal PieceSizes Pieces { get; } = new();

    internal EngineLog Log => _options.Log;

    /// <summary>The number of loop threads, which serve small requests.</summary>
    internal int Loops => Epoll.IsHere ? _options.Loops : 0;

    /// <summary>Begins to serve connections.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="metadata">The metadata of its cluster.</param>
    /// <param name="local">The partitions led in this process.</param>
    /// <param name="clusterId">The cluster's id, as reported to clients.</param>
    public void Open(IBroker broker, IClusterMetadata metadata, ILocalPartitions local, string clusterId) =>
        _opened.TrySetResult(new GatewayServices(_options, broker, metadata, local, clusterId));

    /// <summary>Serves one connection until it ends.</summary>
    internal async Task ServeAsync(ClientSocket socket)
    {
        var (local, remote) = (EndPointOf(socket.Socket.LocalEndPoint), EndPointOf(socket.Socket.RemoteEndPoint));
        if (!TryEnter(remote.Address))
            return;
        try
        {
            GatewayServices services;
            try
            {
                services = await _opened.Task.ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            var served = new KafkaConnection(this, services, socket, local, remote);
            _connections[served] = 0;
            if (_isStopping)
                served.Stop();
            try
            {
                await served.RunAsync().ConfigureAwait(false);
            }
            finally
            {
                _connections.TryRemove(served, out _);
            }
        }
        finally
        {
            Leave(remote.Address);
        }
    }

    /// <summary>Begins to stop: no more requests are read, long polls end, started requests are completed.</summary>
    public void Drain()
    {
        _isStopping = true;
        _opened.TrySetCanceled();
        foreach (var connection in _connections.Keys)
            connection.Stop();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        Drain();
        await _sweep.DisposeAsync().ConfigureAwait(false);
        if (_opened.Task.IsCompletedSuccessfully)
            _opened.Task.Result.Dispose();
    }

    private bool TryEnter(IPAddress address)
    {
        var count = _addresses.AddOrUpdate(address, 1, static (_, before) => before + 1);
        Metrics.Accepted();
        if (count <= _options.MaxConnectionsPerAddress)
            return true;
        Leave(address);
        Metrics.Refused();
        if (count == _options.MaxConnectionsPerAddress + 1)
            _options.Log.Write(EngineLogLevel.Warning,
                $"A Kafka connection from {address} was closed: that address already has {_options.MaxConnectionsPerAddress}.");
        return false;
    }

    private void Leave(IPAddress address)
    {
        var left = _addresses.AddOrUpdate(address, 0, static (_, before) => before - 1);
        if (left == 0)
            _addresses.TryRemove(new KeyValuePair<IPAddress, int>(address, 0));
        Metrics.Closed();
    }

    private void CloseIdle()
    {
        foreach (var connection in _connections.Keys)
        {
            if (connection.Idle > _options.MaxIdle)
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
