using OrleansMq.Access;
using OrleansMq.Groups;
using OrleansMq.Partitions;
using OrleansMq.Security;
using OrleansMq.Topics;
using OrleansMq.Transactions;

namespace OrleansMq.Brokers;

/// <summary>What a broker's engine is given: all that its partitions are, the topics' defaults, and the bounds of its groups.</summary>
public sealed record BrokerOptions : PartitionStoreOptions
{
    /// <summary>Decides what sessions may do: everything, by default. <see cref="Security"/> replaces it where it is switched on.</summary>
    public IAuthorizer Authorizer { get; init; } = AllowAll.Instance;
    /// <summary>Users and access control.</summary>
    public SecurityOptions Security { get; init; } = new();
    /// <summary>Counts what sessions do.</summary>
    internal AccessMeter Meter { get; init; } = new();
    /// <summary>The configuration of topics that set nothing.</summary>
    public TopicConfig TopicDefaults { get; init; } = TopicConfig.Default;
    /// <summary>Partitions of a topic created without a number.</summary>
    public int DefaultPartitions { get; init; } = 1;
    /// <summary>Bounds and times of consumer groups.</summary>
    public GroupOptions Groups { get; init; } = new();
    /// <summary>Transactions: limits and timeouts.</summary>
    public TransactionOptions Transactions { get; init; } = new();
}

/// <summary>The data directory cannot be used; the message names it, and the fix.</summary>
public sealed class DataDirectoryException(string message, Exception? inner = null) : Exception(message, inner);
