namespace OrleansMq.Client;

/// <summary>How an Orleans client authenticates: as a user of the cluster, or by a token. Its requests then have the rights of that
/// principal.</summary>
public sealed record OrleansLogin
{
    /// <summary>The user; null where there is a <see cref="Token"/>.</summary>
    public string? User { get; init; }

    /// <summary>The user's password. It is sent to the silo that the client is connected with: without TLS it can be read on the
    /// way.</summary>
    public string? Password { get; init; }

    /// <summary>Returns a JSON Web Token of an issuer that the brokers accept, in place of <see cref="User"/>; null for none. It is called
    /// for each login, every few minutes. Without TLS the token can be read on the way.</summary>
    public Func<CancellationToken, ValueTask<string>>? Token { get; init; }

    /// <summary>Omits the password.</summary>
    public override string ToString() => nameof(OrleansLogin);

    internal void Validate()
    {
        if ((Token is null) == (User is null))
            throw new ArgumentException("A login has either a user or a token.");
        if (User is { } user && (user.Length == 0 || user.Contains('\0', StringComparison.Ordinal)))
            throw new ArgumentException("The user of a login is not empty, and has no character 0.");
        if (User is not null && (string.IsNullOrEmpty(Password) || Password.Contains('\0', StringComparison.Ordinal)))
            throw new ArgumentException("The user of a login has a password, without a character 0.");
    }
}
