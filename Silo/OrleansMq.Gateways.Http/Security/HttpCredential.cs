namespace OrleansMq.Gateways.Http.Security;

/// <summary>A password or a token that was verified.</summary>
/// <param name="header">The header that has it.</param>
/// <param name="principal">Whom it names.</param>
/// <param name="isValid">Whether what began with it may go on: a user is there, a token has not expired.</param>
internal sealed class HttpCredential(string header, string principal, Func<bool> isValid)
{
    /// <summary>The header that has it: never logged.</summary>
    public string Header => header;

    /// <summary>Whom it names.</summary>
    public string Principal => principal;

    /// <summary>Whether what began with it may go on.</summary>
    public Func<bool> IsValid => isValid;

    /// <summary>Whether the password is still the user's; always for a token.</summary>
    public Func<bool> IsUnchanged { get; init; } = static () => true;

    /// <summary>Whether a request may begin with it without being verified again.</summary>
    public bool IsCurrent => isValid() && IsUnchanged();
}
