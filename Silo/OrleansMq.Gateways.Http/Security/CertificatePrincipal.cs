using System.Security.Cryptography;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using OrleansMq.Tls;

namespace OrleansMq.Gateways.Http.Security;

/// <summary>The name of a connection's client by its certificate.</summary>
internal static class CertificatePrincipal
{
    private static readonly object Key = new();

    /// <summary>Notes the client's name before its requests. A client whose certificate no rule names is disconnected.</summary>
    public static Task RunAsync(ConnectionContext connection, WatchedCertificates certificates, ConnectionDelegate next)
    {
        try
        {
            var principal = certificates.PrincipalOf(connection.Features.Get<ITlsConnectionFeature>()?.ClientCertificate);
            if (principal is not null)
                connection.Items[Key] = principal;
        }
        catch (Exception unnamed) when (unnamed is TlsConfigurationException or CryptographicException)
        {
            connection.Abort(new ConnectionAbortedException(unnamed.Message, unnamed));
            return Task.CompletedTask;
        }
        return next(connection);
    }

    /// <summary>The name of a request's client; null without a certificate.</summary>
    public static string? Of(HttpContext http) =>
        http.Features.Get<IConnectionItemsFeature>()?.Items.TryGetValue(Key, out var principal) == true ? (string?)principal : null;
}
