using System.Text;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.Extensions.Primitives;
using OrleansMq.Access;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Http.Security;

/// <summary>
/// Who sends a request: the user of its <c>Authorization: Basic</c> header, whom the token of its <c>Authorization: Bearer</c> names, else
/// the name in its certificate, else nobody. A connection remembers what it has verified: a password is verified again when users have
/// changed, a token when it has expired. Where access control is switched off, the header counts for nothing.
/// </summary>
internal static class HttpAuthentication
{
    private const string BasicScheme = "Basic ";
    private const string BearerScheme = "Bearer ";
    private const string Realm = "realm=\"OrleansMq\"";
    private const string BasicChallenge = $"{BasicScheme}{Realm}, charset=\"UTF-8\"";
    private const string BearerChallenge = $"{BearerScheme}{Realm}";
    // A header of the largest name and password, and more than any.
    private const int MaxBasicLength = 8_192;
    private static readonly TimeSpan FailureDelay = TimeSpan.FromMilliseconds(100);
    private static readonly object Key = new();

    /// <summary>The principal of a request that was admitted.</summary>
    public static string PrincipalOf(HttpContext http) =>
        CredentialOf(http)?.Principal ?? CertificatePrincipal.Of(http) ?? BrokerSession.Anonymous;

    /// <summary>What a request was admitted by; null for one without credentials in its header.</summary>
    public static HttpCredential? CredentialOf(HttpContext http) =>
        http.Items.TryGetValue(Key, out var credential) ? (HttpCredential?)credential : null;

    /// <summary>The values of <c>WWW-Authenticate</c> (RFC 7617, RFC 6750), one for each scheme that the broker accepts. A refused token is
    /// told of.</summary>
    public static StringValues ChallengesOf(HttpContext http, ApiServices api)
    {
        if (api.Gate.Security is not { Tokens: not null })
            return BasicChallenge;
        var isRefused = CredentialOf(http) is null && http.Request.Headers.Authorization is [{ } header]
            && header.StartsWith(BearerScheme, StringComparison.OrdinalIgnoreCase);
        return new StringValues([BasicChallenge, isRefused ? $"{BearerChallenge}, error=\"invalid_token\"" : BearerChallenge]);
    }

    /// <summary>Finds out who sends a request.</summary>
    /// <returns>False: the credentials are not those of a user. The request is answered.</returns>
    public static async ValueTask<bool> AdmitAsync(HttpContext http, ApiServices api)
    {
        if (http.Request.Headers.Authorization is not [{ Length: > 0 } header] || api.Gate.Security is not { IsEnabled: true } security)
            return true;
        var items = http.Features.Get<IConnectionItemsFeature>()?.Items;
        if (items is not null && items.TryGetValue(Key, out var known) && known is HttpCredential before && before.Header == header
            && before.IsCurrent)
        {
            http.Items[Key] = before;
            return true;
        }
        if (await VerifyAsync(header, security, http.Connection.RemoteIpAddress?.ToString() ?? "", api.TimeProvider,
            http.RequestAborted) is { } verified)
        {
            if (items is not null)
                items[Key] = verified;
            http.Items[Key] = verified;
            return true;
        }
        api.Gate.Access.Meter.Denials.Failed(SessionProtocol.Http);
        await Task.Delay(FailureDelay, api.TimeProvider, http.RequestAborted);
        await Problems.WriteAsync(http, StatusCodes.Status401Unauthorized, ErrorCode.SaslAuthenticationFailed,
            "The credentials are not those of a user. Send a user's name and password as 'Authorization: Basic', "
            + (security.Tokens is null ? "" : "a token that is valid as 'Authorization: Bearer', ") + "or leave the header out.");
        return false;
    }

    private static async ValueTask<HttpCredential?> VerifyAsync(string header, BrokerSecurity security, string host, TimeProvider clock,
        CancellationToken cancellationToken)
    {
        try
        {
            return header.StartsWith(BasicScheme, StringComparison.OrdinalIgnoreCase)
                ? await VerifyPasswordAsync(header, security, host, cancellationToken)
                : header.StartsWith(BearerScheme, StringComparison.OrdinalIgnoreCase) && security.Tokens is { } tokens
                && await tokens.VerifyAsync(header[BearerScheme.Length..].Trim(), cancellationToken) is { } token
                ? new HttpCredential(header, token.Principal, () => clock.GetUtcNow() < token.ExpiresAt) : null;
        }
        catch (IOException unreachable)
        {
            throw new BrokerException(ErrorCode.CoordinatorNotAvailable,
                $"The client cannot be authenticated now: {unreachable.Message} Retry.", unreachable);
        }
    }

    private static async ValueTask<HttpCredential?> VerifyPasswordAsync(string header, BrokerSecurity security, string host,
        CancellationToken cancellationToken)
    {
        if (header.Length > MaxBasicLength)
            return null;
        var bytes = new byte[header.Length];
        if (!Convert.TryFromBase64String(header[BasicScheme.Length..].Trim(), bytes, out var count))
            return null;
        var text = Encoding.UTF8.GetString(bytes, 0, count);
        var colon = text.IndexOf(':', StringComparison.Ordinal);
        if (colon <= 0)
            return null;
        // Read before: a change that comes in between is verified by the next request.
        var user = text[..colon];
        var (changedAt, createdAt) = (security.ChangedAt(user), security.CreatedAt(user));
        return await security.VerifiesAsync(user, text[(colon + 1)..], host, cancellationToken)
            ? new HttpCredential(header, BrokerSecurity.PrincipalOf(user), () => security.CreatedAt(user) == createdAt)
            {
                IsUnchanged = () => security.ChangedAt(user) == changedAt,
            }
            : null;
    }
}
