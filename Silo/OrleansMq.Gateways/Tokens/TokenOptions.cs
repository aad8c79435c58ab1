namespace OrleansMq.Gateways.Tokens;

/// <summary>Which JSON Web Tokens name a client.</summary>
internal sealed record TokenOptions
{
    /// <summary>The issuer's keys, a JSON Web Key Set: an https URL, an http URL of this machine, or a file,
    /// <c>sasl.oauthbearer.jwks.endpoint.url</c>.</summary>
    public required string Keys { get; init; }

    /// <summary>The issuer, the token's <c>iss</c>, <c>sasl.oauthbearer.expected.issuer</c>.</summary>
    public required string Issuer { get; init; }

    /// <summary>The audiences of which the token's <c>aud</c> has one, <c>sasl.oauthbearer.expected.audience</c>.</summary>
    public required IReadOnlyList<string> Audiences { get; init; }

    /// <summary>The claim that names the client, <c>sasl.oauthbearer.sub.claim.name</c>.</summary>
    public string PrincipalClaim { get; init; } = DefaultPrincipalClaim;

    /// <summary>The claim that names the client unless another one is given.</summary>
    public const string DefaultPrincipalClaim = "sub";

    /// <summary>Whether keys may be read from a place. In clear text over a network anyone on the way could give others.</summary>
    public static bool IsPlace(string keys) => keys.Length > 0 && (!Uri.TryCreate(keys, UriKind.Absolute, out var uri) || uri.IsFile
        || uri.Scheme == Uri.UriSchemeHttps || (uri.Scheme == Uri.UriSchemeHttp && uri.IsLoopback));
}
