using System.Net;
using Microsoft.AspNetCore.Connections.Features;
using OrleansMq.Access;
using OrleansMq.Gateways.Http.Security;

namespace OrleansMq.Gateways.Http;

/// <summary>The session of an HTTP connection, opened by its first request, and again where one comes with other credentials. A connection
/// carries one request at a time.</summary>
internal static class HttpSession
{
    private static readonly object Key = new();

    /// <summary>The session of the request's connection.</summary>
    public static SessionAccess Of(HttpContext http, BrokerAccess access)
    {
        if (http.Features.Get<IConnectionItemsFeature>()?.Items is not { } items)
            return Open(http, access);
        var credential = HttpAuthentication.CredentialOf(http);
        if (items.TryGetValue(Key, out var known) && known is Opened opened && ReferenceEquals(opened.Credential, credential))
            return opened.Session;
        var session = Open(http, access);
        items[Key] = new Opened(session, credential);
        return session;
    }

    private static SessionAccess Open(HttpContext http, BrokerAccess access)
    {
        var connection = http.Connection;
        return access.Open(new BrokerSession(HttpAuthentication.PrincipalOf(http), "",
            $"{connection.LocalIpAddress}:{connection.LocalPort}", AddressOf(connection.RemoteIpAddress), SessionProtocol.Http),
            HttpAuthentication.CredentialOf(http)?.IsValid);
    }

    private sealed record Opened(SessionAccess Session, HttpCredential? Credential);

    // As rules name it: a port for both families shows clients of the older one as addresses of the newer.
    private static string AddressOf(IPAddress? address) =>
        address is null ? "" : (address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address).ToString();
}
