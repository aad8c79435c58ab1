namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>What a client may do with a resource: a set of bits, one an operation of Kafka's ACLs. Without ACLs, everything that the
/// resource has.</summary>
internal static class AuthorizedOperations
{
    /// <summary>The answer where it was not asked for.</summary>
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

    /// <summary>Of a topic.</summary>
    public const int Topic = Read | Write | Create | Delete | Alter | Describe | DescribeConfigs | AlterConfigs;

    /// <summary>Of a group.</summary>
    public const int Group = Read | Delete | Describe;

    /// <summary>Of the cluster.</summary>
    public const int Cluster = Create | Alter | Describe | ClusterAction | DescribeConfigs | AlterConfigs | IdempotentWrite;
}
