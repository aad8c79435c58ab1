namespace OrleansMq.Security;

/// <summary>A user, without secrets.</summary>
/// <param name="Name">The name; the principal is <c>User:</c> and the name.</param>
/// <param name="Credentials">One for each mechanism.</param>
internal sealed record UserDescription(string Name, IReadOnlyList<ScramDescription> Credentials);

/// <summary>A credential of a user, without secrets.</summary>
/// <param name="Mechanism">The mechanism.</param>
/// <param name="Iterations">Iterations of its key derivation.</param>
internal sealed record ScramDescription(ScramMechanism Mechanism, int Iterations);

/// <summary>Changes of one user's credentials: all apply, or none.</summary>
/// <param name="User">The name.</param>
/// <param name="Removed">Mechanisms whose credentials are removed. A user without any is deleted.</param>
/// <param name="Set">New credentials, instead of those of the same mechanisms.</param>
internal sealed record UserChange(string User, IReadOnlyList<ScramMechanism> Removed, IReadOnlyList<ScramCredential> Set);

/// <summary>Administration of users and rules. Thread safe.</summary>
internal interface ISecurity
{
    /// <summary>Describes users, in ordinal order; those that do not exist are left out.</summary>
    /// <param name="names">The users; null for all.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    ValueTask<IReadOnlyList<UserDescription>> DescribeUsersAsync(IReadOnlyCollection<string>? names,
        CancellationToken cancellationToken = default);

    /// <summary>Changes a user's credentials.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.ResourceNotFound"/>: a credential to remove does not exist.
    /// <see cref="ErrorCode.UnacceptableCredential"/>, <see cref="ErrorCode.PolicyViolation"/>: too many users.</exception>
    ValueTask AlterUserAsync(UserChange change, CancellationToken cancellationToken = default);

    /// <summary>Deletes a user with all its credentials.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.ResourceNotFound"/>.</exception>
    ValueTask DeleteUserAsync(string user, CancellationToken cancellationToken = default);

    /// <summary>The rules that a filter selects, from memory.</summary>
    IReadOnlyList<AclRule> ListAcls(AclFilter filter);

    /// <summary>Creates rules: all, or none. Those that exist already are no error.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.InvalidRequest"/>, <see cref="ErrorCode.PolicyViolation"/>: too many
    /// rules.</exception>
    ValueTask CreateAclsAsync(IReadOnlyCollection<AclRule> rules, CancellationToken cancellationToken = default);

    /// <summary>Deletes the rules that filters select. Returns them, by filter; one that several select is in each.</summary>
    ValueTask<IReadOnlyList<IReadOnlyList<AclRule>>> DeleteAclsAsync(IReadOnlyList<AclFilter> filters,
        CancellationToken cancellationToken = default);
}
