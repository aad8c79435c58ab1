namespace OrleansMq;

/// <summary>An operation of Kafka's ACLs, with its number in the protocol.</summary>
public enum AccessOperation : sbyte
{
    /// <summary>Not known.</summary>
    Unknown = 0,
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
}
