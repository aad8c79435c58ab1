using System.Text;
using Microsoft.AspNetCore.Connections.Features;
using OrleansMq.Access;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Http.Security;

/// <summary>
/// Who sends a request: the user of its <c>Authorization: Basic</c> header, else the name in its certificate, else nobody. A connection
/// remembers what it has verified, so that a password is verified once for a connection, and again when users have changed. Where access
/// control is switched off, the header counts for nothing.
/// </summary>
internal static class HttpAuthentication
{
    private const string Scheme = "Basic ";
    // A header of the largest name and password, and more than any.
    private const int MaxHeaderLength = 8_192;
    private static readonly TimeSpan FailureDelay = TimeSpan.FromMilliseconds(100);
    private static readonly object Key = new();

    /// <summary>The principal of a request that was admitted.</summary>
    public static string PrincipalOf(HttpContext http) =>
        http.Items.TryGetValue(Key, out var principal) ? (string)principal! : CertificatePrincipal.Of(http) ?? BrokerSession.Anonymous;

    /// <summary>Finds out who sends a request.</summary>
    /// <returns>False: the credentials are not those of a user. The request is answered.</returns>
    public static async ValueTask<bool> AdmitAsync(HttpContext http, ApiServices api)
    {
        if (http.Request.Headers.Authorization is not [{ Length: > 0 } header] || api.Gate.Security is not { IsEnabled: true } security)
            return true;
        var items = http.Features.Get<IConnectionItemsFeature>()?.Items;
        if (items is not null && items.TryGetValue(Key, out var known) && known is Verified verified && verified.Header == header
            && verified.ChangedAt == security.ChangedAt(verified.User))
        {
            http.Items[Key] = BrokerSecurity.PrincipalOf(verified.User);
            return true;
        }
        if (await VerifyAsync(header, security, http.RequestAborted) is { } user)
        {
            if (items is not null)
                items[Key] = user;
            http.Items[Key] = BrokerSecurity.PrincipalOf(user.User);
            return true;
        }
        await Task.Delay(FailureDelay, api.TimeProvider, http.RequestAborted);
        await Problems.WriteAsync(http, StatusCodes.Status401Unauthorized, ErrorCode.SaslAuthenticationFailed,
            "The credentials are not those of a user. Send a user's name and password as 'Authorization: Basic', or leave the header out.");
        return false;
    }

    private static async ValueTask<Verified?> VerifyAsync(string header, BrokerSecurity security, CancellationToken cancellationToken)
    {
        if (header.Length > MaxHeaderLength || !header.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase))
            return null;
        var bytes = new byte[header.Length];
        if (!Convert.TryFromBase64String(header[Scheme.Length..].Trim(), bytes, out var count))
            return null;
        var text = Encoding.UTF8.GetString(bytes, 0, count);
        var colon = text.IndexOf(':', StringComparison.Ordinal);
        if (colon <= 0)
            return null;
        // Read before: a change that comes in between is verified by the next request.
        var (user, changedAt) = (text[..colon], security.ChangedAt(text[..colon]));
        try
        {
            return await security.VerifiesAsync(user, text[(colon + 1)..], cancellationToken)
                ? new Verified(header, user, changedAt) : null;
        }
        catch (IOException unreachable)
        {
            throw new BrokerException(ErrorCode.CoordinatorNotAvailable,
                $"The user cannot be looked up: {unreachable.Message} Retry.", unreachable);
        }
    }

    private sealed record Verified(string Header, string User, long ChangedAt)
    {
        // The header is a password.
        public override string ToString() => nameof(Verified);
    }
}
