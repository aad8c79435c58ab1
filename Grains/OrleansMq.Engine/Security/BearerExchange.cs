using System.Text;

namespace OrleansMq.Security;

/// <summary>OAUTHBEARER (RFC 7628): a token that another party has issued. A refused one is answered with a status first, which the client
/// acknowledges before it is told that the authentication failed.</summary>
internal sealed class BearerExchange(ITokenVerifier tokens) : SaslExchange
{
    /// <summary>The mechanism's name.</summary>
    public const string Name = "OAUTHBEARER";

    private const char Separator = '\u0001';
    private const string AuthorizationKey = "auth=";
    private const string Scheme = "Bearer ";
    private static readonly byte[] Refusal = """{"status":"invalid_token"}"""u8.ToArray();

    private bool _isRefused;

    /// <inheritdoc/>
    public override async ValueTask<SaslStep> NextAsync(ReadOnlyMemory<byte> message, CancellationToken cancellationToken)
    {
        if (_isRefused || Parse(Encoding.UTF8.GetString(message.Span)) is not { } request)
            return SaslStep.Failed(Name);
        if (await tokens.VerifyAsync(request.Token, cancellationToken).ConfigureAwait(false) is { } token
            && (request.ActsAs.Length == 0 || BrokerSecurity.PrincipalOf(request.ActsAs) == token.Principal))
            return new SaslStep([], token.Principal, ExpiresAt: token.ExpiresAt);
        _isRefused = true;
        return new SaslStep(Refusal, IsRefusal: true);
    }

    // "n," and the identity to act as, a comma, then fields that end with the separator each, and one more separator.
    private static Request? Parse(string message)
    {
        var fields = message.Split(Separator);
        if (fields.Length < 4 || fields[^1].Length > 0 || fields[^2].Length > 0)
            return null;
        var header = fields[0].Split(',');
        if (header.Length != 3 || header[0] != "n" || header[2].Length > 0
            || (header[1].Length > 0 && !header[1].StartsWith("a=", StringComparison.Ordinal)))
            return null;
        var authorizations = fields[1..^2].Where(static field => field.StartsWith(AuthorizationKey, StringComparison.Ordinal)).ToArray();
        return authorizations is [var authorization]
            && authorization.AsSpan(AuthorizationKey.Length).StartsWith(Scheme, StringComparison.OrdinalIgnoreCase)
            ? new Request(header[1].Length > 0 ? header[1][2..] : "", authorization[(AuthorizationKey.Length + Scheme.Length)..].Trim())
            : null;
    }

    private readonly record struct Request(string ActsAs, string Token)
    {
        // The token is a credential.
        public override string ToString() => nameof(Request);
    }
}
