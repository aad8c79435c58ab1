using OrleansMq.Access;

namespace OrleansMq.Security;

/// <summary>Administration of users and rules, as a session may use it: descriptions need Describe on the cluster, changes Alter.</summary>
/// <param name="session">The session.</param>
/// <param name="security">Users and rules.</param>
internal sealed class SessionSecurity(SessionAccess session, BrokerSecurity security) : ISecurity
{
    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<UserDescription>> DescribeUsersAsync(IReadOnlyCollection<string>? names,
        CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.Describe, ResourceType.Cluster);
        return security.DescribeUsersAsync(names, cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask AlterUserAsync(UserChange change, CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.Alter, ResourceType.Cluster);
        return security.AlterUserAsync(change, cancellationToken);
    }

    /// <summary>Creates a user, or gives it another password.</summary>
    public async ValueTask SetPasswordAsync(string user, string password, int iterations, CancellationToken cancellationToken)
    {
        session.Demand(AccessOperation.Alter, ResourceType.Cluster);
        await security.AlterUserAsync(await Task.Run(() => BrokerSecurity.OfPassword(user, password, iterations), cancellationToken)
            .ConfigureAwait(false), cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public ValueTask DeleteUserAsync(string user, CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.Alter, ResourceType.Cluster);
        return security.DeleteUserAsync(user, cancellationToken);
    }

    /// <inheritdoc/>
    public IReadOnlyList<AclRule> ListAcls(AclFilter filter)
    {
        session.Demand(AccessOperation.Describe, ResourceType.Cluster);
        return security.ListAcls(filter);
    }

    /// <inheritdoc/>
    public ValueTask CreateAclsAsync(IReadOnlyCollection<AclRule> rules, CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.Alter, ResourceType.Cluster);
        return security.CreateAclsAsync(rules, cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<IReadOnlyList<AclRule>>> DeleteAclsAsync(IReadOnlyList<AclFilter> filters,
        CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.Alter, ResourceType.Cluster);
        return security.DeleteAclsAsync(filters, cancellationToken);
    }

    /// <summary>Decides for a principal, and tells why.</summary>
    public AclDecision Explain(string principal, string host, AccessOperation operation, ResourceType type, string name)
    {
        session.Demand(AccessOperation.Describe, ResourceType.Cluster);
        return security.Authorizer.Decide(principal, host, operation, type, name);
    }
}
