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
    public IAuthorizer Authorizer
    {
        get;
        init
        {
            field = value;
            Security = ForAuthorizer(value, Security);
        }
    } = AllowAll.Instance;
    /// <summary>Users and access control.</summary>
    public SecurityOptions Security
    {
        get;
        init => field = ForAuthorizer(Authorizer, value);
    } = new();
    /// <summary>Counts what sessions do.</summary>
    internal AccessMeter Meter { get; init; } = new();
    /// <summary>The configuration of topics that set nothing, each value in the range of its topic configuration. Default
    /// <see cref="TopicConfig.Default"/>.</summary>
    public TopicConfig TopicDefaults { get; init; } = TopicConfig.Default;
    /// <summary>Partitions of a topic created without a number: 1 to 10,000. Default 1.</summary>
    public int DefaultPartitions { get; init; } = 1;
    /// <summary>Bounds and times of consumer groups.</summary>
    public GroupOptions Groups { get; init; } = new();
    /// <summary>Transactions: limits and timeouts.</summary>
    public TransactionOptions Transactions { get; init; } = new();

    /// <summary>Validates ranges and combinations.</summary>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        const string owner = nameof(BrokerOptions);
        BrokerOptionRules.Check(this, owner);
        BrokerOptionRules.Check(TopicDefaults, owner, nameof(TopicDefaults));
        BrokerOptionRules.Require(DefaultPartitions is >= 1 and <= TopicState.MaxPartitions, owner, nameof(DefaultPartitions),
            "is 1 to 10,000");
        BrokerOptionRules.Require(Authorizer is not null, owner, nameof(Authorizer), "is not null");
        BrokerOptionRules.Require(Security is not null, owner, nameof(Security), "is not null");
        BrokerOptionRules.Check(Security!, $"{owner}.{nameof(Security)}");
        BrokerOptionRules.Require(Groups is not null, owner, nameof(Groups), "is not null");
        BrokerOptionRules.Check(Groups!, $"{owner}.{nameof(Groups)}");
        BrokerOptionRules.Require(Transactions is not null, owner, nameof(Transactions), "is not null");
        BrokerOptionRules.Check(Transactions!, $"{owner}.{nameof(Transactions)}");
    }

    // Null is left for Validate to refuse.
    private static SecurityOptions ForAuthorizer(IAuthorizer authorizer, SecurityOptions security) =>
        security is null ? security! : security with { HasOwnAuthorizer = authorizer is not AllowAll };
}

/// <summary>The data directory cannot be used; the message names it, and the fix.</summary>
public sealed class DataDirectoryException(string message, Exception? inner = null) : Exception(message, inner);
