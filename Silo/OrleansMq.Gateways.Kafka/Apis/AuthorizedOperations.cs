using OrleansMq.Access;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>The operations that a client may perform on a resource, as a bit set of Kafka's ACL operations.</summary>
internal static class AuthorizedOperations
{
    /// <summary>The value if the request does not ask for operations.</summary>
    public const int NotAsked = int.MinValue;

    private static readonly AccessOperation[] OfTopic =
    [
        AccessOperation.Read, AccessOperation.Write, AccessOperation.Create, AccessOperation.Delete, AccessOperation.Alter,
        AccessOperation.Describe, AccessOperation.DescribeConfigs, AccessOperation.AlterConfigs,
    ];

    private static readonly AccessOperation[] OfGroup =
    [
        AccessOperation.Read, AccessOperation.Delete, AccessOperation.Describe, AccessOperation.DescribeConfigs,
        AccessOperation.AlterConfigs,
    ];

    private static readonly AccessOperation[] OfCluster =
    [
        AccessOperation.Create, AccessOperation.Alter, AccessOperation.Describe, AccessOperation.ClusterAction,
        AccessOperation.DescribeConfigs, AccessOperation.AlterConfigs, AccessOperation.IdempotentWrite,
    ];

    /// <summary>The operations on a topic.</summary>
    public static int Topic(SessionAccess session, string topic) => Of(session, OfTopic, ResourceType.Topic, topic);

    /// <summary>The operations on a group.</summary>
    public static int Group(SessionAccess session, string group) => Of(session, OfGroup, ResourceType.Group, group);

    /// <summary>The operations on the cluster; none for a client that may not describe it.</summary>
    public static int Cluster(SessionAccess session) => !session.Allows(AccessOperation.Describe, ResourceType.Cluster) ? 0
        : Of(session, OfCluster, ResourceType.Cluster, ResourceTypes.Cluster);

    private static int Of(SessionAccess session, AccessOperation[] operations, ResourceType type, string name)
    {
        var allowed = 0;
        foreach (var operation in operations)
        {
            if (session.Allows(operation, type, name))
                allowed |= 1 << (int)operation;
        }
        return allowed;
    }
}
