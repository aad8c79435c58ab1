using OrleansMq.Access;

namespace OrleansMq.Grains.Access;

/// <summary>What a client needs to be allowed, to call one method of a public grain.</summary>
/// <param name="Operation">The operation.</param>
/// <param name="Type">The kind of resource.</param>
/// <param name="NameArgument">The argument that names the resource; -1: the grain's key does, or the cluster needs no name.</param>
internal sealed record GrainRule(AccessOperation Operation, ResourceType Type, int NameArgument = -1)
{
    /// <summary>A list, which leaves out what the client may not describe. Any client may ask for it.</summary>
    public static GrainRule Filtered { get; } = new(AccessOperation.Unknown, ResourceType.Unknown);

    /// <summary>A request that names its operation itself.</summary>
    public static GrainRule ByRequest { get; } = new(AccessOperation.Unknown, ResourceType.Group);
}

/// <summary>The rules of the public grains, by interface and method. <see cref="IPartitionGrain"/> is not among them: its grain opens the
/// partition for every call, so that a produce request passes no call filter.</summary>
internal static class GrainRules
{
    private static readonly GrainRule DescribeCluster = new(AccessOperation.Describe, ResourceType.Cluster);
    private static readonly GrainRule AlterCluster = new(AccessOperation.Alter, ResourceType.Cluster);

    private static readonly Dictionary<(Type Interface, string Method), GrainRule> Rules = new()
    {
        [(typeof(ITopicGrain), nameof(ITopicGrain.FindAsync))] = new(AccessOperation.Describe, ResourceType.Topic),
        [(typeof(ITopicGrain), nameof(ITopicGrain.DescribeAsync))] = new(AccessOperation.Describe, ResourceType.Topic),
        [(typeof(ITopicGrain), nameof(ITopicGrain.AlterAsync))] = new(AccessOperation.AlterConfigs, ResourceType.Topic),
        [(typeof(ITopicGrain), nameof(ITopicGrain.AddPartitionsAsync))] = new(AccessOperation.Alter, ResourceType.Topic),
        [(typeof(IClusterGrain), nameof(IClusterGrain.CreateTopicAsync))] = new(AccessOperation.Create, ResourceType.Topic, 0),
        [(typeof(IClusterGrain), nameof(IClusterGrain.DeleteTopicAsync))] = new(AccessOperation.Delete, ResourceType.Topic, 0),
        [(typeof(IClusterGrain), nameof(IClusterGrain.ListTopicsAsync))] = GrainRule.Filtered,
        [(typeof(IClusterGrain), nameof(IClusterGrain.InitProducerIdAsync))] = new(AccessOperation.IdempotentWrite, ResourceType.Cluster),
        [(typeof(IClusterGrain), nameof(IClusterGrain.DescribeAsync))] = DescribeCluster,
        [(typeof(IClusterGrain), nameof(IClusterGrain.GetMetadataAsync))] = DescribeCluster,
        [(typeof(IClusterGrain), nameof(IClusterGrain.ListReassignmentsAsync))] = DescribeCluster,
        [(typeof(IClusterGrain), nameof(IClusterGrain.GetRebalanceAsync))] = DescribeCluster,
        [(typeof(IClusterGrain), nameof(IClusterGrain.ReassignPartitionAsync))] = AlterCluster,
        [(typeof(IClusterGrain), nameof(IClusterGrain.CancelReassignmentAsync))] = AlterCluster,
        [(typeof(IClusterGrain), nameof(IClusterGrain.ElectPreferredLeadersAsync))] = AlterCluster,
        [(typeof(IClusterGrain), nameof(IClusterGrain.ElectUncleanAsync))] = AlterCluster,
        [(typeof(IClusterGrain), nameof(IClusterGrain.PlanRebalanceAsync))] = AlterCluster,
        [(typeof(IClusterGrain), nameof(IClusterGrain.ExecuteRebalanceAsync))] = AlterCluster,
        [(typeof(IClusterGrain), nameof(IClusterGrain.CancelRebalanceAsync))] = AlterCluster,
        [(typeof(IClusterGrain), nameof(IClusterGrain.SetAutoRebalanceAsync))] = AlterCluster,
        [(typeof(IClusterGrain), nameof(IClusterGrain.DrainBrokerAsync))] = AlterCluster,
        [(typeof(IClusterGrain), nameof(IClusterGrain.ResumeBrokerAsync))] = AlterCluster,
        [(typeof(IClusterGrain), nameof(IClusterGrain.RemoveBrokerAsync))] = AlterCluster,
        [(typeof(IGroupGrain), nameof(IGroupGrain.FindCoordinatorAsync))] = new(AccessOperation.Describe, ResourceType.Group),
        [(typeof(IGroupGrain), nameof(IGroupGrain.SendAsync))] = GrainRule.ByRequest,
        [(typeof(IGroupListGrain), nameof(IGroupListGrain.ListAsync))] = GrainRule.Filtered,
    };

    // The interfaces between brokers: no client has business there.
    private static readonly GrainRule BrokersOnly = new(AccessOperation.ClusterAction, ResourceType.Cluster);

    /// <summary>The rule of a method; that of brokers for every interface that is not public.</summary>
    public static GrainRule Of(Type type, string method) => Rules.GetValueOrDefault((type, method), BrokersOnly);
}
