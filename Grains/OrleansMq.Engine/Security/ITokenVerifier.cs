namespace OrleansMq.Security;

/// <summary>A token that was verified.</summary>
/// <param name="Principal">Whom it names, such as <c>User:alice</c>.</param>
/// <param name="ExpiresAt">When it expires.</param>
internal sealed record BearerToken(string Principal, DateTimeOffset ExpiresAt);

/// <summary>Verifies tokens that another party issues.</summary>
internal interface ITokenVerifier : IDisposable
{
    /// <summary>Verifies a token.</summary>
    /// <returns>Null: it is none of that party for this broker, or it has expired.</returns>
    /// <exception cref="IOException">The keys of that party are not known, and cannot be read now: the client may try again.</exception>
    ValueTask<BearerToken?> VerifyAsync(string token, CancellationToken cancellationToken);
}
