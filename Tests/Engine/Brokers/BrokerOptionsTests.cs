using OrleansMq.Brokers;
using OrleansMq.Groups;
using OrleansMq.Security;
using OrleansMq.Storage;
using OrleansMq.Topics;
using OrleansMq.Transactions;

namespace OrleansMq.Tests.Engine.Brokers;

public sealed class BrokerOptionsTests
{
    private static readonly BrokerOptions Good = new() { DataDirectory = "/data" };

    /// <summary>Values that a range leaves out, by the option and the range as the refusal says it.</summary>
    public static TheoryData<string, string, Func<BrokerOptions, BrokerOptions>> Refused() => new()
    {
        { "BrokerOptions.DataDirectory", "is not empty", o => o with { DataDirectory = "" } },
        { "BrokerOptions.DataDirectory", "is not empty", o => o with { DataDirectory = " " } },
        { "BrokerOptions.DataDirectory", "is not empty", o => o with { DataDirectory = null! } },
        { "BrokerOptions.BrokerId", "is 0 or more", o => o with { BrokerId = new BrokerId(-1) } },
        { "BrokerOptions.DefaultPartitions", "is 1 to 10,000", o => o with { DefaultPartitions = 0 } },
        { "BrokerOptions.DefaultPartitions", "is 1 to 10,000", o => o with { DefaultPartitions = -1 } },
        { "BrokerOptions.DefaultPartitions", "is 1 to 10,000", o => o with { DefaultPartitions = 20_000 } },
        { "BrokerOptions.MinFreeBytes", "is 0 or more", o => o with { MinFreeBytes = -1 } },
        { "BrokerOptions.MaxOpenFiles", "is 1 to 1,000,000", o => o with { MaxOpenFiles = -1 } },
        { "BrokerOptions.MaxOpenFiles", "is 1 to 1,000,000", o => o with { MaxOpenFiles = 1_000_001 } },
        { "BrokerOptions.AppendThreads", "is 1 to 256", o => o with { AppendThreads = -1 } },
        { "BrokerOptions.AppendThreads", "is 1 to 256", o => o with { AppendThreads = 257 } },
        { "BrokerOptions.RetentionCheckInterval", "is above zero",
            o => o with { RetentionCheckInterval = TimeSpan.Zero } },
        { "BrokerOptions.CheckpointInterval", "is above zero",
            o => o with { CheckpointInterval = TimeSpan.FromSeconds(-1) } },
        { "BrokerOptions.CompactionCheckInterval", "is 1 to 2,147,483,647 milliseconds",
            o => o with { CompactionCheckInterval = TimeSpan.FromDays(25) } },
        { "BrokerOptions.ProducerIdExpiration", "is above zero",
            o => o with { ProducerIdExpiration = TimeSpan.Zero } },
        { "BrokerOptions.CompactionMapBytes", "is above zero", o => o with { CompactionMapBytes = 0 } },
        { "BrokerOptions.CompactionMaxBytesPerSecond", "is 0 or more", o => o with { CompactionMaxBytesPerSecond = -1 } },
        { "BrokerOptions.MaxQueuesPerPartition", "is 1 to 100,000", o => o with { MaxQueuesPerPartition = 0 } },
        { "BrokerOptions.MaxMessageIds", "is 1 to 1,000,000,000", o => o with { MaxMessageIds = 0 } },
        { "BrokerOptions.Security.SuperUsers", "is not null", o => o with { Security = new SecurityOptions { SuperUsers = null! } } },
        { "BrokerOptions.Security.AdminPassword", "is null, or 1 to 1,024 characters without control characters",
            o => o with { Security = new SecurityOptions { AdminPassword = "" } } },
        { "BrokerOptions.Security.AdminPassword", "is null, or 1 to 1,024 characters without control characters",
            o => o with { Security = new SecurityOptions { AdminPassword = new string('p', 1_025) } } },
        { "BrokerOptions.Security.AdminPassword", "is null, or 1 to 1,024 characters without control characters",
            o => o with { Security = new SecurityOptions { AdminPassword = "line\nend" } } },
        { "BrokerOptions.Groups", "is not null", o => o with { Groups = null! } },
        { "BrokerOptions.Groups.MinSessionTimeout", "is 0 to 2,147,483,647 milliseconds",
            o => o with { Groups = new GroupOptions { MinSessionTimeout = TimeSpan.FromMilliseconds(-1) } } },
        { "BrokerOptions.Groups.MaxSessionTimeout", "is MinSessionTimeout to 2,147,483,647 milliseconds",
            o => o with { Groups = new GroupOptions { MaxSessionTimeout = TimeSpan.FromSeconds(5) } } },
        { "BrokerOptions.Groups.InitialRebalanceDelay", "is 0 to 2,147,483,647 milliseconds",
            o => o with { Groups = new GroupOptions { InitialRebalanceDelay = TimeSpan.FromSeconds(-1) } } },
        { "BrokerOptions.Groups.MaxSize", "is 1 or more", o => o with { Groups = new GroupOptions { MaxSize = 0 } } },
        { "BrokerOptions.Groups.MaxOffsetMetadataBytes", "is 0 or more",
            o => o with { Groups = new GroupOptions { MaxOffsetMetadataBytes = -1 } } },
        { "BrokerOptions.Groups.ConsumerHeartbeatInterval", "is 1 to 2,147,483,647 milliseconds",
            o => o with { Groups = new GroupOptions { ConsumerHeartbeatInterval = TimeSpan.Zero } } },
        { "BrokerOptions.Groups.ConsumerSessionTimeout", "is above ConsumerHeartbeatInterval and at most 2,147,483,647 milliseconds",
            o => o with { Groups = new GroupOptions { ConsumerSessionTimeout = TimeSpan.Zero } } },
        { "BrokerOptions.Groups.ConsumerSessionTimeout", "is above ConsumerHeartbeatInterval and at most 2,147,483,647 milliseconds",
            o => o with { Groups = new GroupOptions { ConsumerSessionTimeout = TimeSpan.FromSeconds(5) } } },
        { "BrokerOptions.Groups.ShareMaxSize", "is 1 or more", o => o with { Groups = new GroupOptions { ShareMaxSize = 0 } } },
        { "BrokerOptions.Groups.MaxGroups", "is 1 to 10,000,000", o => o with { Groups = new GroupOptions { MaxGroups = 0 } } },
        { "BrokerOptions.Groups.MaxPendingTransactions", "is 1 or more",
            o => o with { Groups = new GroupOptions { MaxPendingTransactions = 0 } } },
        { "BrokerOptions.Groups.BrokenPollGrace", "is 0 to 2,147,483,647 milliseconds",
            o => o with { Groups = new GroupOptions { BrokenPollGrace = TimeSpan.FromSeconds(-1) } } },
        { "BrokerOptions.Groups.OffsetsRetention", "is null, or above zero",
            o => o with { Groups = new GroupOptions { OffsetsRetention = TimeSpan.Zero } } },
        { "BrokerOptions.Transactions.MaxTimeout", "is 1 to 2,147,483,647 milliseconds",
            o => o with { Transactions = new TransactionOptions { MaxTimeout = TimeSpan.Zero } } },
        { "BrokerOptions.Transactions.IdExpiration", "is above zero",
            o => o with { Transactions = new TransactionOptions { IdExpiration = TimeSpan.Zero } } },
        { "BrokerOptions.Transactions.MaxWait", "is 0 to 2,147,483,647 milliseconds",
            o => o with { Transactions = new TransactionOptions { MaxWait = TimeSpan.FromSeconds(-1) } } },
        { "BrokerOptions.Transactions.MaxIds", "is 1 or more",
            o => o with { Transactions = new TransactionOptions { MaxIds = 0 } } },
        { "BrokerOptions.Transactions.MaxPartitions", "is 1 or more",
            o => o with { Transactions = new TransactionOptions { MaxPartitions = 0 } } },
        { "BrokerOptions.Transactions.MaxGroups", "is 1 or more",
            o => o with { Transactions = new TransactionOptions { MaxGroups = 0 } } },
        { "BrokerOptions.TopicDefaults", "'retention.ms' cannot be '-5'",
            o => o with { TopicDefaults = new TopicConfig { RetentionMs = -5 } } },
        { "BrokerOptions.TopicDefaults", "'segment.bytes' cannot be '1'",
            o => o with { TopicDefaults = new TopicConfig { SegmentBytes = 1 } } },
        { "BrokerOptions.TopicDefaults", "'max.message.bytes' cannot be '-1'",
            o => o with { TopicDefaults = new TopicConfig { MaxMessageBytes = -1 } } },
        { "BrokerOptions.TopicDefaults", "'compression.type' cannot be '99'",
            o => o with { TopicDefaults = new TopicConfig { CompressionType = (CompressionType)99 } } },
        { "BrokerOptions.TopicDefaults", "'min.compaction.lag.ms' (2) must not exceed 'max.compaction.lag.ms' (1)",
            o => o with { TopicDefaults = new TopicConfig { MinCompactionLagMs = 2, MaxCompactionLagMs = 1 } } },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public void Value_out_of_its_range_is_refused_with_the_option_and_the_range(string option, string range,
        Func<BrokerOptions, BrokerOptions> change)
    {
        var refused = Assert.Throws<ArgumentException>(() => change(Good).Validate());
        Assert.StartsWith(option, refused.Message, StringComparison.Ordinal);
        Assert.Contains(range, refused.Message, StringComparison.Ordinal);
    }

    /// <summary>What tests and small machines use.</summary>
    public static TheoryData<Func<BrokerOptions, BrokerOptions>> Accepted() =>
    [
        o => o,
        o => o with { MinFreeBytes = 0, MaxOpenFiles = 1, AppendThreads = 1, MaxQueuesPerPartition = 1, MaxMessageIds = 1 },
        o => o with { MinFreeBytes = long.MaxValue, DefaultPartitions = 10_000 },
        o => o with { TopicDefaults = new TopicConfig { SegmentBytes = 14, IndexIntervalBytes = 0 } },
        o => o with { TopicDefaults = TopicConfig.DefaultFor(FlushPolicy.Sync) },
        o => o with { TopicDefaults = TopicConfig.DefaultFor(FlushPolicy.Interval) },
        o => o with { CheckpointInterval = TimeSpan.FromMilliseconds(1), RetentionCheckInterval = TimeSpan.MaxValue },
        o => o with { Security = new SecurityOptions { AdminPassword = new string('p', 1_024) } },
        o => o with { Groups = new GroupOptions { MaxGroups = 1, BrokenPollGrace = TimeSpan.Zero } },
        o => o with { Transactions = new TransactionOptions { MaxWait = TimeSpan.Zero } },
    ];

    [Theory]
    [MemberData(nameof(Accepted))]
    public void Extreme_values_that_do_no_harm_are_accepted(Func<BrokerOptions, BrokerOptions> change) => change(Good).Validate();

    [Fact]
    public async Task Broker_opens_with_no_value_out_of_its_range()
    {
        var files = new MemoryFileSystem();
        var refused = await Assert.ThrowsAsync<ArgumentException>(() =>
            LocalBroker.OpenAsync(Good with { FileSystem = files, DefaultPartitions = 0 }));
        Assert.StartsWith("BrokerOptions.DefaultPartitions is 1 to 10,000.", refused.Message, StringComparison.Ordinal);
        Assert.False(files.DirectoryExists("/data"));
    }
}
