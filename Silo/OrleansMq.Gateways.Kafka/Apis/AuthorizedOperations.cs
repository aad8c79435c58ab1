namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>The operations that a client may perform on a resource, as a bit set of Kafka's ACL operations. Without ACLs it has all
/// operations of the resource.</summary>
internal static class AuthorizedOperations
{
    /// <summary>The value if the request does not ask for operations.</summary>
    public const int NotAsked = int.MinValue;

    private const int Read = 1 << 3;
    private const int Write = 1 << 4;
    private const int Create = 1 << 5;
    private const int Delete = 1 << 6;
    private const int Alter = 1 << 7;
    private const int Describe = 1 << 8;
    private const int ClusterAction = 1 << 9;
    private const int DescribeConfigs = 1 << 10;
    private const int AlterConfigs = 1 << 11;
    private const int IdempotentWrite = 1 << 12;

    /// <summary>The operations of a topic.</summary>
    public const int Topic = Read | Write | Create | Delete | Alter | Describe | DescribeConfigs | AlterConfigs;

    /// <summary>The operations of a group.</summary>
    public const int Group = Read | Delete | Describe;

    /// <summary>The operations of the cluster.</summary>
    public const int Cluster = Create | Alter | Describe | ClusterAction | DescribeConfigs | AlterConfigs | IdempotentWrite;
}
