using OrleansMq.Brokers;

namespace OrleansMq.Gateways.Tokens;

/// <summary>Which JSON Web Tokens name a client.</summary>
public sealed record TokenOptions
{
    /// <summary>The issuer's keys, a JSON Web Key Set, which is read again every 5 minutes: an https URL, an http URL of this machine, or a
    /// file, <c>sasl.oauthbearer.jwks.endpoint.url</c>.</summary>
    public required string Keys { get; init; }

    /// <summary>The issuer, the token's <c>iss</c>, <c>sasl.oauthbearer.expected.issuer</c>.</summary>
    public required string Issuer { get; init; }

    /// <summary>The audiences of which the token's <c>aud</c> has one, <c>sasl.oauthbearer.expected.audience</c>.</summary>
    public required IReadOnlyList<string> Audiences { get; init; }

    /// <summary>The claim that names the client: <c>sub</c>, <c>sasl.oauthbearer.sub.claim.name</c>.</summary>
    public string PrincipalClaim { get; init; } = DefaultPrincipalClaim;

    /// <summary>The claim that names the client unless another one is given.</summary>
    internal const string DefaultPrincipalClaim = "sub";

    /// <summary>Whether keys may be read from a place. In clear text over a network anyone on the way could give others.</summary>
    internal static bool IsPlace(string keys) => keys.Length > 0 && (!Uri.TryCreate(keys, UriKind.Absolute, out var uri) || uri.IsFile
        || uri.Scheme == Uri.UriSchemeHttps || (uri.Scheme == Uri.UriSchemeHttp && uri.IsLoopback));

    /// <summary>Checks them.</summary>
    /// <exception cref="ArgumentException">The message names the option and what it is.</exception>
    internal void Validate()
    {
        Require(Keys is not null && IsPlace(Keys), nameof(Keys), "is a file, an https URL, or an http URL of this machine");
        Require(!string.IsNullOrEmpty(Issuer), nameof(Issuer), "is not empty");
        Require(Audiences is { Count: > 0 } && Audiences.All(static one => !string.IsNullOrEmpty(one)), nameof(Audiences),
            "has one or more audiences, none of them empty: tokens of other services would count otherwise");
        Require(!string.IsNullOrEmpty(PrincipalClaim), nameof(PrincipalClaim), "is not empty");
    }

    private static void Require(bool condition, string option, string rule) =>
        BrokerOptionRules.Require(condition, nameof(TokenOptions), option, rule);
}
