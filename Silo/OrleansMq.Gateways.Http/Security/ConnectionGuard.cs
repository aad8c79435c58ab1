using System.Collections.Concurrent;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace OrleansMq.Gateways.Http.Security;

/// <summary>
/// Keeps one address from taking all connections of a port: it may have a quarter of them, the loopback address all. Where a port wants
/// users, a connection whose client has not logged in by then is closed after a while. Thread safe.
/// </summary>
/// <param name="maxConnections">The port's connections; null: no limit, for an address neither.</param>
/// <param name="loginTime">How long a connection may be without a user; null: for ever.</param>
/// <param name="time">The clock.</param>
internal sealed class ConnectionGuard(long? maxConnections, TimeSpan? loginTime, TimeProvider time)
{
    private static readonly object Waiting = new();

    private readonly ConcurrentDictionary<IPAddress, int> _addresses = new();

    /// <summary>Guards a port. Called before other middleware of its connections is added.</summary>
    public void Use(ListenOptions listen) => listen.Use(next => connection => RunAsync(connection, next));

    /// <summary>Notes that the client of a request has logged in.</summary>
    public static void Accept(Microsoft.AspNetCore.Http.HttpContext context)
    {
        if (context.Features.Get<IConnectionItemsFeature>()?.Items is { } items && items.TryGetValue(Waiting, out var waiting))
            (waiting as ITimer)?.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    private async Task RunAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        var address = (connection.RemoteEndPoint as IPEndPoint)?.Address ?? IPAddress.Loopback;
        var count = _addresses.AddOrUpdate(address, 1, static (_, before) => before + 1);
        try
        {
            if (!IPAddress.IsLoopback(address) && count > Math.Max(maxConnections / 4 ?? long.MaxValue, 1))
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
}
