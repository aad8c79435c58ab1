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
    public ValueTask AlterAsync(IReadOnlyCollection<QuotaChange> changes, CancellationToken cancellationToken = default)
    {
        session.Demand(AccessOperation.AlterConfigs, ResourceType.Cluster);
        return quotas.AlterAsync(changes, cancellationToken);
    }
}
