namespace OrleansMq.Access;

/// <summary>A kind of resource of Kafka's ACLs, with its number in the protocol.</summary>
public enum ResourceType : sbyte
{
    /// <summary>Not known.</summary>
    Unknown = 0,
    /// <summary>Any kind, in a filter of rules.</summary>
    Any = 1,
    /// <summary>A topic, by name.</summary>
    Topic = 2,
    /// <summary>A consumer group, by id.</summary>
    Group = 3,
    /// <summary>The cluster, under the name <see cref="ResourceTypes.Cluster"/>.</summary>
    Cluster = 4,
    /// <summary>A transactional id.</summary>
    TransactionalId = 5,
    /// <summary>A delegation token. Rules may name it; this broker has no such tokens.</summary>
    DelegationToken = 6,
    /// <summary>A user, by principal.</summary>
    User = 7,
}

/// <summary>Facts about kinds of resources.</summary>
public static class ResourceTypes
{
    /// <summary>The name of the one resource of the type <see cref="ResourceType.Cluster"/>.</summary>
    public const string Cluster = "kafka-cluster";

    /// <summary>The name under which rules stand for every resource of a type.</summary>
    internal const string Every = "*";

    /// <summary>The error of a refused operation.</summary>
    public static ErrorCode Refusal(this ResourceType type) => type switch
    {
        ResourceType.Topic => ErrorCode.TopicAuthorizationFailed,
        ResourceType.Group => ErrorCode.GroupAuthorizationFailed,
        ResourceType.TransactionalId => ErrorCode.TransactionalIdAuthorizationFailed,
        _ => ErrorCode.ClusterAuthorizationFailed,
    };
}
