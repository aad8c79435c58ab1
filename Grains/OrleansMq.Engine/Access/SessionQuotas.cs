using System.Globalization;
using OrleansMq.Diagnostics;
using OrleansMq.Quotas;

namespace OrleansMq.Access;

/// <summary>Administration of quotas, as a session may use it: descriptions need DescribeConfigs on the cluster, changes
/// AlterConfigs.</summary>
/// <param name="session">The session.</param>
/// <param name="quotas">The quotas.</param>
internal sealed class SessionQuotas(SessionAccess session, BrokerQuotas quotas) : IQuotas
{
    /// <inheritdoc/>
    public IReadOnlyList<EntityQuotas> List(QuotaFilter filter)
    {
        session.Demand(AccessOperation.DescribeConfigs, ResourceType.Cluster);
        return quotas.List(filter);
    }

    /// <inheritdoc/>
    public IReadOnlyList<QuotaUsage> ListUsage()
    {
        session.Demand(AccessOperation.DescribeConfigs, ResourceType.Cluster);
        return quotas.ListUsage();
    }

    /// <inheritdoc/>
    public async ValueTask AlterAsync(IReadOnlyCollection<QuotaChange> changes, CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.AlterConfigs, ResourceType.Cluster);
        await quotas.AlterAsync(changes, cancellationToken).ConfigureAwait(false);
        foreach (var change in changes.Take(MaxLoggedChanges))
            session.Audit($"changed the quotas of {LoggedText.Of(change.Entity.ToString())}: "
                + $"{string.Join(", ", change.Limits.Select(static one => $"{one.Key.Name()} "
                    + (one.Value is { } limit ? limit.ToString(CultureInfo.InvariantCulture) : "removed")))}.");
        if (changes.Count > MaxLoggedChanges)
            session.Audit($"changed the quotas of {changes.Count - MaxLoggedChanges} more by the same request.");
    }

    private const int MaxLoggedChanges = 100;
}
