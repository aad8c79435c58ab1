using OrleansMq.Access;
using OrleansMq.Diagnostics;

namespace OrleansMq.Security;

/// <summary>Administration of users and rules, as a session may use it: descriptions need Describe on the cluster, changes Alter.</summary>
/// <param name="session">The session.</param>
/// <param name="security">Users and rules.</param>
internal sealed class SessionSecurity(SessionAccess session, BrokerSecurity security) : ISecurity
{
    private const int MaxLoggedRules = 100;

    /// <summary>Whether rules are enforced by this broker.</summary>
    public AuthorizationMode Authorization => security.Authorization;

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<UserDescription>> DescribeUsersAsync(IReadOnlyCollection<string>? names,
        CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.Describe, ResourceType.Cluster);
        return security.DescribeUsersAsync(names, cancellationToken);
    }

    /// <inheritdoc/>
    public async ValueTask AlterUserAsync(UserChange change, CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.Alter, ResourceType.Cluster);
        await security.AlterUserAsync(change, cancellationToken).ConfigureAwait(false);
        Audit($"changed the credentials of user '{LoggedText.Of(change.User)}'.");
    }

    /// <summary>Creates a user, or gives it another password.</summary>
    public async ValueTask SetPasswordAsync(string user, string password, int iterations, CancellationToken cancellationToken)
    {
        session.Demand(AccessOperation.Alter, ResourceType.Cluster);
        await security.AlterUserAsync(await Task.Run(() => BrokerSecurity.OfPassword(user, password, iterations), cancellationToken)
            .ConfigureAwait(false), cancellationToken).ConfigureAwait(false);
        Audit($"changed the password of user '{LoggedText.Of(user)}'.");
    }

    /// <inheritdoc/>
    public async ValueTask DeleteUserAsync(string user, CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.Alter, ResourceType.Cluster);
        await security.DeleteUserAsync(user, cancellationToken).ConfigureAwait(false);
        Audit($"deleted user '{LoggedText.Of(user)}'.");
    }

    /// <inheritdoc/>
    public IReadOnlyList<AclRule> ListAcls(AclFilter filter)
    {
        session.Demand(AccessOperation.Describe, ResourceType.Cluster);
        return security.ListAcls(filter);
    }

    /// <inheritdoc/>
    public async ValueTask CreateAclsAsync(IReadOnlyCollection<AclRule> rules, CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.Alter, ResourceType.Cluster);
        await security.CreateAclsAsync(rules, cancellationToken).ConfigureAwait(false);
        Audit("created", rules);
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<IReadOnlyList<AclRule>>> DeleteAclsAsync(IReadOnlyList<AclFilter> filters,
        CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.Alter, ResourceType.Cluster);
        var deleted = await security.DeleteAclsAsync(filters, cancellationToken).ConfigureAwait(false);
        Audit("deleted", [.. deleted.SelectMany(static rules => rules).Distinct()]);
        return deleted;
    }

    /// <summary>Decides for a principal by super users and rules, whether they are enforced or not, and tells why.</summary>
    public AclDecision Explain(string principal, string host, AccessOperation operation, ResourceType type, string name)
    {
        session.Demand(AccessOperation.Describe, ResourceType.Cluster);
        return security.Authorizer.Decide(principal, host, operation, type, name);
    }

    private void Audit(string change) => session.Audit(change);

    private void Audit(string verb, IReadOnlyCollection<AclRule> rules)
    {
        foreach (var rule in rules.Take(MaxLoggedRules))
            Audit($"{verb} the rule: {LoggedText.Of(rule.ToString())}.");
        if (rules.Count > MaxLoggedRules)
            Audit($"{verb} {rules.Count - MaxLoggedRules} more rules by the same request.");
    }
}
