namespace OrleansMq;

/// <summary>An operation of Kafka's ACLs, with its number in the protocol.</summary>
public enum AccessOperation : sbyte
{
    /// <summary>Not known.</summary>
    Unknown = 0,
    /// <summary>Any operation, in a filter of rules.</summary>
    Any = 1,
    /// <summary>Every operation, in a rule.</summary>
    All = 2,
    /// <summary>Reads records of a topic, or takes part in a group.</summary>
    Read = 3,
    /// <summary>Appends records to a topic.</summary>
    Write = 4,
    /// <summary>Creates a topic.</summary>
    Create = 5,
    /// <summary>Deletes a topic, its records, or a group.</summary>
    Delete = 6,
    /// <summary>Adds partitions to a topic, or changes the cluster.</summary>
    Alter = 7,
    /// <summary>Looks at a resource without its contents.</summary>
    Describe = 8,
    /// <summary>Acts as a member of the cluster.</summary>
    ClusterAction = 9,
    /// <summary>Reads a configuration.</summary>
    DescribeConfigs = 10,
    /// <summary>Changes a configuration.</summary>
    AlterConfigs = 11,
    /// <summary>Asks for a producer id.</summary>
    IdempotentWrite = 12,
    /// <summary>Creates delegation tokens. Rules may name it; this broker has no such tokens.</summary>
    CreateTokens = 13,
    /// <summary>Describes delegation tokens. Rules may name it; this broker has no such tokens.</summary>
    DescribeTokens = 14,
    /// <summary>Takes part in transactions in two phases (KIP-939). Rules may name it; this broker has none.</summary>
    TwoPhaseCommit = 15,
}
