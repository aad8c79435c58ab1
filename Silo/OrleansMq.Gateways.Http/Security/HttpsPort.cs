using System.Net;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using OrleansMq.Diagnostics;
using OrleansMq.Security;
using OrleansMq.Tls;

namespace OrleansMq.Gateways.Http.Security;

/// <summary>TLS in front of HTTP.</summary>
internal static class HttpsPort
{
    // As of the other ports.
    private const int MaxHandshakes = 1_000;

    private static readonly object Hello = new();
    private static readonly object Handshake = new();

    /// <summary>Returns what bounds the handshakes of a port: to half of its connections. Clients that only connect leave the other half to
    /// others.</summary>
    /// <param name="protocol">The port's protocol in log lines.</param>
    /// <param name="maxConnections">The port's connections; null: no limit.</param>
    /// <param name="log">The log.</param>
    public static UnauthenticatedConnections Handshakes(string protocol, int? maxConnections, EngineLog log) =>
        new(protocol, Math.Clamp(maxConnections / 2 ?? MaxHandshakes, 1, MaxHandshakes), log, TimeProvider.System,
            "completed their TLS handshake");

    /// <summary>Adds TLS to a port.</summary>
    /// <param name="listen">The port.</param>
    /// <param name="certificates">Its certificates.</param>
    /// <param name="handshakes">Bounds the connections whose handshake is not complete.</param>
    public static void Use(ListenOptions listen, WatchedCertificates certificates, UnauthenticatedConnections handshakes)
    {
        listen.Use(next => async connection =>
        {
            if (handshakes.Enter((connection.RemoteEndPoint as IPEndPoint)?.Address ?? IPAddress.Loopback) is not { } place)
            {
                connection.Abort();
                return;
            }
            using (place)
            {
                connection.Items[Handshake] = place;
                await next(connection).ConfigureAwait(false);
            }
        });
        // The client is at fault.
        listen.Use(static next => async connection =>
        {
            try
            {
                await next(connection).ConfigureAwait(false);
            }
            catch (Exception fault) when (!connection.Items.ContainsKey(Hello) && Tls.Handshakes.IsNoHello(fault))
            {
                connection.Abort();
            }
        });
        // The namespace is imported by default in one of the two projects that this file is part of.
        Microsoft.AspNetCore.Hosting.ListenOptionsHttpsExtensions.UseHttps(listen, new TlsHandshakeCallbackOptions
        {
            OnConnection = context =>
            {
                context.Connection.Items[Hello] = true;
                return new(certificates.OptionsFor(context.ClientHelloInfo.ServerName));
            },
            HandshakeTimeout = Tls.Handshakes.Deadline,
        });
        listen.Use(static next => connection =>
        {
            (connection.Items[Handshake] as IDisposable)?.Dispose();
            return next(connection);
        });
    }
}
