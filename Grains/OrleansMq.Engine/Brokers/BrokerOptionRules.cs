using OrleansMq.Groups;
using OrleansMq.Partitions;
using OrleansMq.Security;
using OrleansMq.Topics;
using OrleansMq.Transactions;

namespace OrleansMq.Brokers;

/// <summary>The ranges of a broker's options: those of the program's flags, but for limits that are small and harmless.</summary>
internal static class BrokerOptionRules
{
    /// <summary>The longest time of a timer: 2^31 - 1 milliseconds, nearly 25 days.</summary>
    private static readonly TimeSpan LongestInterval = TimeSpan.FromMilliseconds(int.MaxValue);

    /// <summary>Refuses an option that is outside of its range.</summary>
    /// <param name="condition">Whether it is inside.</param>
    /// <param name="owner">The public options that it is part of.</param>
    /// <param name="option">Its name.</param>
    /// <param name="rule">What it is, as the end of a sentence.</param>
    /// <exception cref="ArgumentException">The condition does not hold.</exception>
    public static void Require(bool condition, string owner, string option, string rule)
    {
        if (!condition)
            throw new ArgumentException($"{owner}.{option} {rule}.");
    }

    /// <summary>Refuses a time that no timer can wait for, or that is too short.</summary>
    /// <param name="value">The option's value.</param>
    /// <param name="least">The least milliseconds, 0 or 1.</param>
    /// <param name="owner">The public options that it is part of.</param>
    /// <param name="option">Its name.</param>
    /// <exception cref="ArgumentException">It is out of the range.</exception>
    public static void RequireInterval(TimeSpan value, int least, string owner, string option) =>
        Require(value >= TimeSpan.FromMilliseconds(least) && value <= LongestInterval, owner, option,
            $"is {least} to 2,147,483,647 milliseconds");

    /// <summary>Checks what partitions are given.</summary>
    public static void Check(PartitionStoreOptions options, string owner)
    {
        Require(!string.IsNullOrWhiteSpace(options.DataDirectory), owner, nameof(options.DataDirectory), "is not empty");
        Require(options.BrokerId.Value >= 0, owner, nameof(options.BrokerId), "is 0 or more");
        Require(options.TimeProvider is not null, owner, nameof(options.TimeProvider), "is not null");
        Require(options.Codecs is not null, owner, nameof(options.Codecs), "is not null");
        Require(options.MinFreeBytes >= 0, owner, nameof(options.MinFreeBytes), "is 0 or more");
        Require(options.MaxOpenFiles is >= 1 and <= 1_000_000, owner, nameof(options.MaxOpenFiles), "is 1 to 1,000,000");
        Require(options.AppendThreads is >= 1 and <= 256, owner, nameof(options.AppendThreads), "is 1 to 256");
        Require(options.RetentionCheckInterval > TimeSpan.Zero, owner, nameof(options.RetentionCheckInterval), "is above zero");
        Require(options.CheckpointInterval > TimeSpan.Zero, owner, nameof(options.CheckpointInterval), "is above zero");
        RequireInterval(options.CompactionCheckInterval, 1, owner, nameof(options.CompactionCheckInterval));
        Require(options.CompactionMapBytes > 0, owner, nameof(options.CompactionMapBytes), "is above zero");
        Require(options.CompactionMaxBytesPerSecond >= 0, owner, nameof(options.CompactionMaxBytesPerSecond), "is 0 or more");
        Require(options.ProducerIdExpiration > TimeSpan.Zero, owner, nameof(options.ProducerIdExpiration), "is above zero");
        Require(options.MaxQueuesPerPartition is >= 1 and <= 100_000, owner, nameof(options.MaxQueuesPerPartition), "is 1 to 100,000");
        Require(options.MaxMessageIds is >= 1 and <= 1_000_000_000, owner, nameof(options.MaxMessageIds), "is 1 to 1,000,000,000");
    }

    /// <summary>Checks the configuration of topics that set nothing.</summary>
    public static void Check(TopicConfig defaults, string owner, string option)
    {
        Require(defaults is not null, owner, option, "is not null");
        if (TopicConfigRules.FaultOf(defaults!) is { } fault)
            throw new ArgumentException($"{owner}.{option} is not possible: {fault}");
    }

    /// <summary>Checks users and access control.</summary>
    public static void Check(SecurityOptions options, string owner)
    {
        Require(options.SuperUsers is not null, owner, nameof(options.SuperUsers), "is not null");
        Require(options.AdminPassword is null || SecurityOptions.IsAdminPassword(options.AdminPassword), owner,
            nameof(options.AdminPassword), "is null, or 1 to 1,024 characters without control characters");
    }

    /// <summary>Checks the bounds and times of groups.</summary>
    public static void Check(GroupOptions options, string owner)
    {
        RequireInterval(options.MinSessionTimeout, 0, owner, nameof(options.MinSessionTimeout));
        Require(options.MaxSessionTimeout >= options.MinSessionTimeout && options.MaxSessionTimeout <= LongestInterval, owner,
            nameof(options.MaxSessionTimeout), "is MinSessionTimeout to 2,147,483,647 milliseconds");
        RequireInterval(options.InitialRebalanceDelay, 0, owner, nameof(options.InitialRebalanceDelay));
        Require(options.MaxSize >= 1, owner, nameof(options.MaxSize), "is 1 or more");
        Require(options.MaxOffsetMetadataBytes >= 0, owner, nameof(options.MaxOffsetMetadataBytes), "is 0 or more");
        RequireInterval(options.ConsumerHeartbeatInterval, 1, owner, nameof(options.ConsumerHeartbeatInterval));
        // Members would time out between two heartbeats.
        Require(options.ConsumerSessionTimeout > options.ConsumerHeartbeatInterval && options.ConsumerSessionTimeout <= LongestInterval,
            owner, nameof(options.ConsumerSessionTimeout), "is above ConsumerHeartbeatInterval and at most 2,147,483,647 milliseconds");
        Require(options.ShareMaxSize >= 1, owner, nameof(options.ShareMaxSize), "is 1 or more");
        Require(options.MaxGroups is >= 1 and <= 10_000_000, owner, nameof(options.MaxGroups), "is 1 to 10,000,000");
        Require(options.MaxPendingTransactions >= 1, owner, nameof(options.MaxPendingTransactions), "is 1 or more");
        RequireInterval(options.BrokenPollGrace, 0, owner, nameof(options.BrokenPollGrace));
        Require(options.OffsetsRetention is null || options.OffsetsRetention > TimeSpan.Zero, owner, nameof(options.OffsetsRetention),
            "is null, or above zero");
    }

    /// <summary>Checks the limits of transactions.</summary>
    public static void Check(TransactionOptions options, string owner)
    {
        RequireInterval(options.MaxTimeout, 1, owner, nameof(options.MaxTimeout));
        Require(options.IdExpiration > TimeSpan.Zero, owner, nameof(options.IdExpiration), "is above zero");
        RequireInterval(options.MaxWait, 0, owner, nameof(options.MaxWait));
        Require(options.MaxIds >= 1, owner, nameof(options.MaxIds), "is 1 or more");
        Require(options.MaxPartitions >= 1, owner, nameof(options.MaxPartitions), "is 1 or more");
        Require(options.MaxGroups >= 1, owner, nameof(options.MaxGroups), "is 1 or more");
    }
}
