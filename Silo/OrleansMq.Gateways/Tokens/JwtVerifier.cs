using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using OrleansMq.Access;
using OrleansMq.Diagnostics;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Tokens;

/// <summary>Verifies JSON Web Tokens: signed by a key of the issuer, for this broker, not expired. Thread safe.</summary>
internal sealed class JwtVerifier : ITokenVerifier
{
    private const int MaxLength = 64 << 10;
    // An issuer's clock may be ahead.
    private static readonly TimeSpan Skew = TimeSpan.FromSeconds(30);
    // Signatures that only the issuer can make.
    private static readonly string[] Algorithms =
    [
        SecurityAlgorithms.RsaSha256, SecurityAlgorithms.RsaSha384, SecurityAlgorithms.RsaSha512,
        SecurityAlgorithms.RsaSsaPssSha256, SecurityAlgorithms.RsaSsaPssSha384, SecurityAlgorithms.RsaSsaPssSha512,
        SecurityAlgorithms.EcdsaSha256, SecurityAlgorithms.EcdsaSha384, SecurityAlgorithms.EcdsaSha512,
    ];

    private readonly TokenOptions _options;
    private readonly TimeProvider _clock;
    private readonly SigningKeys _keys;
    private readonly RareLine _refused;
    private readonly JsonWebTokenHandler _handler = new() { MaximumTokenSizeInBytes = MaxLength, MapInboundClaims = false };

    /// <param name="options">Which tokens count.</param>
    /// <param name="clock">The clock.</param>
    /// <param name="log">Receives why tokens are refused.</param>
    /// <exception cref="TokenConfigurationException">The keys are in a file that cannot be used.</exception>
    public JwtVerifier(TokenOptions options, TimeProvider clock, EngineLog log)
    {
        (_options, _clock, _refused) = (options, clock, new RareLine(log, clock));
        _keys = new SigningKeys(options.Keys, clock, log);
        _keys.Begin();
    }

    /// <inheritdoc/>
    public async ValueTask<BearerToken?> VerifyAsync(string token, CancellationToken cancellationToken)
    {
        if (token.Length is 0 or > MaxLength)
            return Refuse("it is empty or too long");
        var keys = await _keys.GetAsync(cancellationToken).ConfigureAwait(false);
        var result = await ValidateAsync(token, keys).ConfigureAwait(false);
        if (result.Exception is SecurityTokenSignatureKeyNotFoundException
            && await _keys.NewerAsync(keys, cancellationToken).ConfigureAwait(false) is { } newer)
            result = await ValidateAsync(token, newer).ConfigureAwait(false);
        if (!result.IsValid || result.SecurityToken is not JsonWebToken verified)
            return Refuse(ReasonOf(result.Exception));
        // Asked for as a text, a list would be one, too.
        if (!verified.TryGetPayloadValue<object>(_options.PrincipalClaim, out var claim) || claim is not string name
            || !BrokerSecurity.IsUserName(name))
            return Refuse($"its claim '{_options.PrincipalClaim}' is no name of 1 to {BrokerSecurity.MaxUserNameLength} characters");
        var principal = BrokerSecurity.PrincipalOf(name);
        return principal == BrokerSession.Anonymous || name == "*" ? Refuse($"no client is called '{name}'")
            : new BearerToken(principal, verified.ValidTo);
    }

    /// <inheritdoc/>
    public void Dispose() => _keys.Dispose();

    private Task<TokenValidationResult> ValidateAsync(string token, SigningKeySet keys) =>
        _handler.ValidateTokenAsync(token, new TokenValidationParameters
        {
            ValidIssuer = _options.Issuer,
            ValidAudiences = _options.Audiences,
            ValidAlgorithms = Algorithms,
            RequireSignedTokens = true,
            RequireExpirationTime = true,
            IssuerSigningKeyResolver = (_, _, keyId, _) => keys.For(keyId),
            LifetimeValidator = (from, until, _, _) => IsNow(from, until),
        });

    private bool IsNow(DateTime? from, DateTime? until)
    {
        var now = _clock.GetUtcNow().UtcDateTime;
        return until > now && (from is null || from <= now + Skew);
    }

    private BearerToken? Refuse(string reason)
    {
        _refused.Write(EngineLogLevel.Warning, $"A token was refused: {reason}.");
        return null;
    }

    // Messages of the library may have parts of the token.
    private string ReasonOf(Exception? fault) => fault switch
    {
        SecurityTokenInvalidIssuerException => $"its issuer is not '{_options.Issuer}'",
        SecurityTokenInvalidAudienceException => $"its audience is not '{string.Join("' or '", _options.Audiences)}'",
        SecurityTokenInvalidLifetimeException or SecurityTokenNoExpirationException => "it has expired, has no expiration, or begins later",
        SecurityTokenSignatureKeyNotFoundException => "its key is not among those of the issuer",
        SecurityTokenInvalidAlgorithmException => "its algorithm is not one of RSA or elliptic curves",
        SecurityTokenInvalidSignatureException => "its signature is missing or wrong",
        SecurityTokenMalformedException => "it is no JSON Web Token",
        _ => fault?.GetType().Name ?? "it is not valid",
    };
}
