using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using OrleansMq.Gateways.Tls;

namespace OrleansMq.Gateways.Http.Security;

/// <summary>TLS in front of HTTP.</summary>
internal static class HttpsPort
{
    private static readonly object Hello = new();

    /// <summary>Adds TLS to a port.</summary>
    public static void Use(ListenOptions listen, ServerCertificates certificates)
    {
        // .NET asks for no certificate where a client's first message is no ClientHello, and has none. The client is at fault.
        listen.Use(static next => async connection =>
        {
            try
            {
                await next(connection).ConfigureAwait(false);
            }
            catch (NotSupportedException) when (!connection.Items.ContainsKey(Hello))
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
            HandshakeTimeout = Handshakes.Deadline,
        });
    }
}
