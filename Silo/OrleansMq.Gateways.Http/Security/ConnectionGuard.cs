using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using OrleansMq.Diagnostics;
using OrleansMq.Quotas;

namespace OrleansMq.Gateways.Http.Security;

/// <summary>
/// Keeps one address from taking all connections of a port: it may have a quarter of them, the loopback address all. Holds it within its
/// quota of new connections: one waits, or is closed. Where a port wants users, a connection whose client has not logged in by then is
/// closed after a while. Thread safe.
/// </summary>
/// <param name="protocol">The port's protocol in log lines.</param>
/// <param name="maxConnections">The port's connections; null: no limit, for an address neither.</param>
/// <param name="loginTime">How long a connection may be without a user; null: for ever.</param>
/// <param name="time">The clock.</param>
/// <param name="log">Where log lines go.</param>
internal sealed class ConnectionGuard(string protocol, long? maxConnections, TimeSpan? loginTime, TimeProvider time, EngineLog log)
{
    private static readonly object Waiting = new();

    private readonly ConcurrentDictionary<IPAddress, int> _addresses = new();
    private readonly RareLine _refused = new(log, time);
    private volatile BrokerQuotas? _quotas;

    /// <summary>Guards a port. Called before other middleware of its connections is added.</summary>
    public void Use(ListenOptions listen) => listen.Use(next => connection => RunAsync(connection, next));

    /// <summary>Begins to hold addresses within their quotas.</summary>
    /// <param name="quotas">The broker's; null for a broker without.</param>
    public void Open(BrokerQuotas? quotas) => _quotas = quotas;

    /// <summary>Notes that the client of a request has logged in.</summary>
    public static void Accept(Microsoft.AspNetCore.Http.HttpContext context)
    {
        if (context.Features.Get<IConnectionItemsFeature>()?.Items is { } items && items.TryGetValue(Waiting, out var waiting))
            (waiting as ITimer)?.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    private async Task RunAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        var address = AddressOf(connection);
        var count = _addresses.AddOrUpdate(address, 1, static (_, before) => before + 1);
        try
        {
            if (!IPAddress.IsLoopback(address) && count > Math.Max(maxConnections / 4 ?? long.MaxValue, 1))
            {
                connection.Abort();
                return;
            }
            if (!await IsAdmittedAsync(address, connection.ConnectionClosed).ConfigureAwait(false))
            {
                connection.Abort();
                return;
            }
            var timer = loginTime is { } limit ? time.CreateTimer(static one => ((ConnectionContext)one!).Abort(), connection, limit,
                Timeout.InfiniteTimeSpan) : null;
            if (timer is null)
            {
                await next(connection).ConfigureAwait(false);
                return;
            }
            await using (timer.ConfigureAwait(false))
            {
                connection.Items[Waiting] = timer;
                await next(connection).ConfigureAwait(false);
            }
        }
        finally
        {
            if (_addresses.AddOrUpdate(address, 0, static (_, before) => before - 1) == 0)
                _addresses.TryRemove(new KeyValuePair<IPAddress, int>(address, 0));
        }
    }

    private async ValueTask<bool> IsAdmittedAsync(IPAddress address, CancellationToken closed)
    {
        if (_quotas is not { } quotas)
            return true;
        if (quotas.Connect(address.ToString(), BrokerQuotas.MostConnectWait) is not { } wait)
        {
            _refused.Write(EngineLogLevel.Warning, $"A {protocol} connection from {address} was closed: that address has made more "
                + "connections than its quota allows.");
            return false;
        }
        return wait == TimeSpan.Zero || (await quotas.HoldAsync(wait, closed).ConfigureAwait(false) && !closed.IsCancellationRequested);
    }

    // As quotas name it: a port for both families shows clients of the older one as addresses of the newer.
    private static IPAddress AddressOf(ConnectionContext connection)
    {
        var address = (connection.RemoteEndPoint as IPEndPoint)?.Address ?? IPAddress.Loopback;
        return address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
    }
}
