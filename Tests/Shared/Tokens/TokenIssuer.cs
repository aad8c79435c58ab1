using System.Security.Claims;
using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace OrleansMq.Tests.Shared;

/// <summary>An issuer of JSON Web Tokens with one key.</summary>
internal sealed class TokenIssuer : IDisposable
{
    public const string Issuer = "https://issuer.example.com";
    public const string Audience = "orleansmq";

    private readonly RSA _rsa = RSA.Create(2_048);
    private readonly string _keyId;

    public TokenIssuer(string keyId = "first") => _keyId = keyId;

    /// <summary>Its public key, as a JSON Web Key Set.</summary>
    public string Keys => SetOf(this);

    /// <summary>A set with the public keys of several issuers.</summary>
    public static string SetOf(params TokenIssuer[] issuers) => JsonSerializer.Serialize(new
    {
        keys = issuers.Select(static one =>
        {
            var key = one._rsa.ExportParameters(includePrivateParameters: false);
            return new
            {
                kty = "RSA",
                use = "sig",
                kid = one._keyId,
                n = Base64UrlEncoder.Encode(key.Modulus),
                e = Base64UrlEncoder.Encode(key.Exponent),
            };
        }),
    });

    /// <summary>Issues a token.</summary>
    /// <param name="subject">Whom it names.</param>
    /// <param name="expires">When it expires.</param>
    /// <param name="change">Changes it before it is signed.</param>
    public string Issue(string subject, DateTime? expires = null, Action<SecurityTokenDescriptor>? change = null)
    {
        var token = new SecurityTokenDescriptor
        {
            Issuer = Issuer,
            Audience = Audience,
            Subject = new ClaimsIdentity([new Claim("sub", subject)]),
            Expires = expires ?? DateTime.UtcNow.AddHours(1),
            SigningCredentials = new SigningCredentials(new RsaSecurityKey(_rsa) { KeyId = _keyId }, SecurityAlgorithms.RsaSha256),
        };
        change?.Invoke(token);
        return new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(token);
    }

    public void Dispose() => _rsa.Dispose();
}
