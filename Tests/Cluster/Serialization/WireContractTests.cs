using System.Reflection;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;
using OrleansMq.Api;
using OrleansMq.Grains;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Replication;
using OrleansMq.Grains.Serialization;
using OrleansMq.Grains.Topics;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Serialization;

/// <summary>What silos of different versions must agree on: the names and field numbers of everything that crosses them. A difference
/// breaks a rolling upgrade. Add a field under a new number, or a method under a new alias, and extend the file; never change an existing
/// line.</summary>
public sealed class WireContractTests
{
    private static readonly Assembly[] Assemblies = [typeof(IClusterGrain).Assembly, typeof(IPartitionOwnerGrain).Assembly];

    private static readonly Serializer Serializer =
        new ServiceCollection().AddSerializer(builder => Array.ForEach(Assemblies, assembly => builder.AddAssembly(assembly)))
            .BuildServiceProvider().GetRequiredService<Serializer>();

    // Those that the contract began with. The sample of any other engine type is made from its fields.
    private static readonly Dictionary<string, object> Given = new()
    {
        ["BrokerDescription"] = new BrokerDescription(3, "0.1.0", 4, 5, "/data", BrokerState.Draining, "r1", "h", "http://h:1", "h:2",
            "h:3", 6, 7, 8),
        ["BrokerException"] = new BrokerException(ErrorCode.InvalidConfig, "retention.ms"),
        ["BrokerShare"] = new BrokerShare(1, 2, 3, 4, 5),
        ["ClusterDescription"] = new ClusterDescription("c1", "cluster", [new BrokerDescription(3, "0.1.0", 4, 5, "/data")], 3, 1L << 33, 4,
            5,
            [new TopicPartition("a", 1)], [new TopicPartition("b", 2)], [new TopicPartition("c", 3)], true),
        ["CommittedOffset"] = new CommittedOffset(1L << 33, 2, "m", 1234),
        ["ConfigEntry"] = new ConfigEntry("retention.ms", "1000", true),
        ["ConsumerGroupHeartbeat"] = new ConsumerGroupHeartbeat
        {
            GroupId = "g",
            MemberId = "m",
            MemberEpoch = 2,
            InstanceId = "i",
            RackId = "r",
            RebalanceTimeout = TimeSpan.FromSeconds(3),
            SubscribedTopicNames = ["a", "b"],
            SubscribedTopicRegex = "a.*",
            ServerAssignor = "uniform",
            OwnedPartitions = [new TopicPartitions(TopicId, [1, 2])],
            ClientId = "c",
            ClientHost = "h",
            MaxWait = TimeSpan.FromSeconds(4),
            Sequence = 5,
            IsRepeated = true,
            TakesOverInstance = true,
            SessionTimeout = TimeSpan.FromSeconds(10),
            Subscriber = new Subscriber("User:alice", "c2", "l", "10.0.0.7", 3),
        },
        ["ConsumerGroupHeartbeatResult"] = new ConsumerGroupHeartbeatResult
        {
            Error = ErrorCode.FencedMemberEpoch,
            Message = "m",
            MemberId = "i",
            MemberEpoch = 2,
            HeartbeatInterval = TimeSpan.FromSeconds(3),
            SessionTimeout = TimeSpan.FromSeconds(4),
            Assignment = [new TopicPartitions(TopicId, [1, 2])],
        },
        ["DeleteGroup"] = new DeleteGroup("g"),
        ["DescribeGroup"] = new DescribeGroup("g"),
        ["FetchResult"] = new FetchResult(ErrorCode.OffsetOutOfRange, 11, 10, 7, new byte[] { 1, 2, 3 }, null, "m") { LeaderEpoch = 6 },
        ["FetchedOffset"] = new FetchedOffset(new TopicPartition("orders", 1), TopicId, new CommittedOffset(17),
            ErrorCode.UnstableOffsetCommit),
        ["GroupDescription"] = new GroupDescription("g", GroupType.Consumer, GroupState.Reconciling, "consumer", "uniform", 2, 3, 4,
            [new GroupMember { MemberId = "m" }]),
        ["GroupListing"] = new GroupListing("g", "consumer", GroupState.Stable, GroupType.Classic),
        ["GroupMember"] = new GroupMember
        {
            MemberId = "m",
            GroupInstanceId = "i",
            RackId = "r",
            ClientId = "c",
            ClientHost = "h",
            MemberEpoch = 2,
            SubscribedTopicNames = ["orders"],
            SubscribedTopicRegex = "o.*",
            Assignment = [new TopicPartition("orders", 1)],
            TargetAssignment = [new TopicPartition("orders", 2)],
            ClassicMetadata = new byte[] { 1 },
            ClassicAssignment = new byte[] { 2 },
            Type = GroupType.Classic,
        },
        ["GroupProtocol"] = new GroupProtocol("range", new byte[] { 1, 2 }),
        ["GroupReply"] = new GroupReply(ErrorCode.UnknownMemberId, "m"),
        ["Heartbeat"] = new Heartbeat("g", 2, "m", "i"),
        ["JoinGroup"] = new JoinGroup
        {
            GroupId = "g",
            MemberId = "m",
            GroupInstanceId = "i",
            ClientId = "c",
            ClientHost = "h",
            SessionTimeout = TimeSpan.FromSeconds(1),
            RebalanceTimeout = TimeSpan.FromSeconds(2),
            ProtocolType = "t",
            Protocols = [new GroupProtocol("range", new byte[] { 1, 2 })],
            RequireKnownMemberId = false,
            SupportsSkippingAssignment = false,
            Reason = "r",
        },
        ["JoinGroupResult"] = new JoinGroupResult
        {
            Error = ErrorCode.RebalanceInProgress,
            Message = "m",
            GenerationId = 3,
            ProtocolType = "t",
            ProtocolName = "n",
            Leader = "l",
            SkipAssignment = true,
            MemberId = "i",
            Members = [new JoinedMember("m", "i", new byte[] { 1 })],
        },
        ["JoinedMember"] = new JoinedMember("m", "i", new byte[] { 1 }),
        ["LeaderElection"] = new LeaderElection("orders", 1, 2, ErrorCode.PreferredLeaderNotAvailable, "m"),
        ["LeadershipRecord"] = new LeadershipRecord
        {
            TopicId = TopicId,
            Partition = 1,
            Leads = true,
            LeaderEpoch = 2,
            Counter = 3,
            Replicas = [1, 2, 3],
            Isr = [2, 3],
            Elr = [1],
            Target = [4],
        },
        ["LeaveGroup"] = new LeaveGroup("g", [new LeavingMember("m", "i", "r")]),
        ["LeaveGroupResult"] = new LeaveGroupResult(ErrorCode.InvalidGroupId, [new LeftMember("m", "i", ErrorCode.UnknownMemberId)], "m"),
        ["LeavingMember"] = new LeavingMember("m", "i", "r"),
        ["LeftMember"] = new LeftMember("m", "i", ErrorCode.UnknownMemberId),
        ["ListGroup"] = new ListGroup("g"),
        ["MemberAssignment"] = new MemberAssignment("m", new byte[] { 1 }),
        ["NewTopic"] = new NewTopic("orders", 6, 3, new Dictionary<string, string> { ["retention.ms"] = "1000" })
        {
            AllowFewerReplicas = true,
        },
        ["OffsetCommit"] = new OffsetCommit
        {
            GroupId = "g",
            GenerationIdOrMemberEpoch = 2,
            MemberId = "m",
            GroupInstanceId = "i",
            Offsets = [new PartitionOffset("orders", 1, new CommittedOffset(17, 2, "m", 1234), TopicId)],
        },
        ["OffsetCommitResult"] = new OffsetCommitResult([new PartitionError("orders", 1, ErrorCode.UnknownTopicId, TopicId)], "m"),
        ["OffsetDelete"] = new OffsetDelete("g", [new TopicPartition("orders", 1)]),
        ["OffsetDeleteResult"] = new OffsetDeleteResult(ErrorCode.GroupIdNotFound,
            [new PartitionError("orders", 1, ErrorCode.GroupSubscribedToTopic)], "m"),
        ["OffsetFetch"] = new OffsetFetch
        {
            GroupId = "g",
            Partitions = [new TopicPartition("orders", 1)],
            MemberId = "m",
            MemberEpoch = 2,
            RequireStable = true,
            AllowStale = true,
        },
        ["OffsetFetchResult"] = new OffsetFetchResult(ErrorCode.StaleMemberEpoch,
            [new FetchedOffset(new TopicPartition("orders", 1), TopicId, null)], "m"),
        ["OffsetResult"] = new OffsetResult(ErrorCode.OffsetNotAvailable, 17, 1234, 2, "m"),
        ["OffsetSpec"] = OffsetSpec.MaxTimestamp with { Isolation = IsolationLevel.ReadCommitted },
        ["PartitionDescription"] = new PartitionDescription(1, 2, 3, [2, 4], [2], 5, 6, 7, 8, "offline", [4]),
        ["PartitionError"] = new PartitionError("orders", 1, ErrorCode.UnknownTopicId, TopicId),
        ["PartitionOffset"] = new PartitionOffset("orders", 1, new CommittedOffset(17, 2, "m", 1234), TopicId),
        ["LoginAnswer"] = new LoginAnswer { Ticket = [1, 2, 3], Life = TimeSpan.FromMinutes(4), Session = [4, 5], Secret = [6],
            At = DateTimeOffset.UnixEpoch },
        ["PartitionRead"] = new PartitionRead(17)
        {
            MaxBytes = 100,
            MinBytes = 2,
            MaxWait = TimeSpan.FromSeconds(1),
            Isolation = IsolationLevel.ReadCommitted,
        },
        ["PartitionReassignment"] = new PartitionReassignment("orders", 1, [1, 2], [3, 2], [1], [3]),
        ["PartitionSpec"] = new PartitionSpec { Topic = "orders", Configs = new() { ["retention.ms"] = "1000" } },
        ["ProduceResult"] = new ProduceResult(ErrorCode.MessageTooLarge, 5, 6, 7, "m"),
        ["ProducerIdentity"] = new ProducerIdentity(1000, 3),
        ["RebalanceMove"] = new RebalanceMove("orders", 1, [1, 2], [3, 2], "r"),
        ["RebalancePlan"] = new RebalancePlan("p", [new RebalanceMove("orders", 1, [1, 2], [3, 2], "r")], [new BrokerShare(1, 2, 3, 4, 5)],
            "s"),
        ["RebalanceStatus"] = new RebalanceStatus("p", RebalanceState.Cancelling, "r", new RebalanceThrottle(3, 4), 5, 6, 7,
            [new PartitionReassignment("orders", 1, [1, 2], [3, 2], [1], [3])], DateTimeOffset.UnixEpoch,
            DateTimeOffset.UnixEpoch.AddDays(1), "m"),
        ["RebalanceThrottle"] = new RebalanceThrottle(3, 4),
        ["RegistrationRecord"] = new RegistrationRecord
        {
            BrokerId = 1,
            Rack = "r",
            Host = "h",
            Http = "http://h:1",
            Kafka = "h:2",
            Orleans = "h:3",
            Version = "0.1.0",
            DataDirectory = "/data",
        },
        ["ReplicaKey"] = new ReplicaKeyRecord(TopicId, 1),
        ["ReplicaReport"] = new ReplicaReportRecord
        {
            Key = new ReplicaKeyRecord(TopicId, 1),
            Broker = 2,
            Incarnation = TopicId,
            Role = 3,
            Leader = 4,
            LeaderEpoch = 5,
            LastEpoch = 6,
            LogStartOffset = 7,
            LogEndOffset = 8,
            HighWatermark = 9,
            OfflineReason = "offline",
        },
        ["SyncGroup"] = new SyncGroup
        {
            GroupId = "g",
            GenerationId = 2,
            MemberId = "m",
            GroupInstanceId = "i",
            ProtocolType = "t",
            ProtocolName = "n",
            Assignments = [new MemberAssignment("m", new byte[] { 1 })],
        },
        ["SyncGroupResult"] = new SyncGroupResult(ErrorCode.IllegalGeneration, "m", "t", "n", new byte[] { 1 }),
        ["TopicDescription"] = new TopicDescription("orders", TopicId,
            [new PartitionDescription(0, 1, 2, [1], [1], 3, 4, 5, 6)], [new ConfigEntry("a", "b", false)])
        {
            IntendedReplicationFactor = 3,
        },
        ["TopicListing"] = new TopicListing("orders", TopicId, 6),
        ["TopicPartition"] = new TopicPartition("orders", 1),
        ["TopicPartitions"] = new TopicPartitions(TopicId, [1, 2]),
        ["TopicRecord"] = new TopicRecord
        {
            TopicId = TopicId,
            Name = "orders",
            Status = 2,
            ReplicationFactor = 3,
            Configs = new() { ["retention.ms"] = "1000" },
            Serving = 6,
            IntendedReplicationFactor = 5,
        },
        ["TopicSpec"] = new TopicSpec { TopicId = TopicId, Partitions = 6, Configs = new() { ["retention.ms"] = "1000" },
            ReplicationFactor = 3, IntendedReplicationFactor = 5 },
    };

    /// <summary>One value of every type that crosses silos; each field has a distinct value.</summary>
    public static IReadOnlyDictionary<string, object> Samples { get; } = Given
        .Concat(EngineTypeAliases.Aliases.Values.Where(static type => !Given.ContainsKey(type.Name))
            .Select(static type => KeyValuePair.Create(type.Name, Sample.Of(type))))
        .ToDictionary();

    private static Guid TopicId => Guid.Parse("00112233-4455-6677-8899-aabbccddeeff");

    [Fact]
    public void Every_type_that_crosses_silos_has_a_sample() => Assert.Equal(
        Assemblies.SelectMany(static assembly => assembly.GetTypes())
            .Where(static type => type.IsDefined(typeof(GenerateSerializerAttribute), inherit: false)
                && !type.Name.EndsWith("Surrogate", StringComparison.Ordinal))
            .Concat(EngineTypeAliases.Aliases.Values).Select(static type => type.Name).Order(StringComparer.Ordinal),
        Samples.Values.Select(static sample => sample.GetType().Name).Order(StringComparer.Ordinal));

    // Slice and BadRecords stay within a process, where the gateway that asked for them reads them.
    private static readonly string[] NeverSent = ["FetchResult.Slice", "ProduceResult.BadRecords"];

    /// <summary>Finds a property added later without a serialization id: its sample would not cover it, and the loss between silos would go
    /// unnoticed.</summary>
    [Fact]
    public void Samples_of_group_types_set_every_property() => Assert.Empty(
        from sample in Samples.Values
        where sample.GetType().Namespace == typeof(GroupMember).Namespace
        from property in sample.GetType().GetProperties()
        where !property.GetMethod!.IsStatic && property.PropertyType != typeof(bool) // False may be the non-default value.
        let value = property.GetValue(sample)
        where value is null || value.Equals(property.PropertyType.IsValueType ? Activator.CreateInstance(property.PropertyType) : null)
        let name = $"{sample.GetType().Name}.{property.Name}"
        where !NeverSent.Contains(name)
        select name);

    [Fact]
    public void Serialized_bytes_match_the_contract() =>
        Contract.Check("bytes.txt", Samples.OrderBy(sample => sample.Key, StringComparer.Ordinal)
            .Select(sample => $"{sample.Key} {Convert.ToHexString(Serializer.SerializeToArray(sample.Value))}"));

    [Fact]
    public void Grain_and_method_ids_match_the_contract() => Contract.Check("methods.txt",
        from type in Assemblies.SelectMany(static assembly => assembly.GetTypes()).OrderBy(static type => type.Name, StringComparer.Ordinal)
        where type.IsInterface && type.IsAssignableTo(typeof(IAddressable))
        from method in type.GetMethods().OrderBy(method => method.Name, StringComparer.Ordinal)
        select $"{type.GetCustomAttribute<AliasAttribute>()!.Alias}.{method.GetCustomAttribute<AliasAttribute>()!.Alias}"
            + $"({string.Join(", ", method.GetParameters().Select(parameter => parameter.ParameterType.Name))})");

    [Theory]
    [InlineData("3001B1E1F47D2B6F6D712E42726F6B65724465736372697074696F6E000D410B302E312E3001110115410B2F64617461E0")]
    [InlineData("30015A1005002D6F6D712E436C75737465724465736372697074696F6E"
        + "40056331410F636C757374657221000321000D410B302E312E3001110115410B2F64617461E0E0E0")]
    [InlineData("30015DE1C860316F6D712E506172746974696F6E4465736372697074696F6E"
        + "00050109010D21000501090011E02100030109E001150119011D0121410F6F66666C696E65E0")]
    [InlineData("3001A0627DDD1F6F6D712E4C6F67696E416E73776572E840070102038100180D8F00000000E0")]
    [InlineData("3001C5251E35276F6D712E5175657565536574746C656D656E742040210300000000000000000000000000000001110115E0"
        + "0119011D01058100E1F505000000004107733131E0")]
    public void Bytes_of_the_first_version_are_read(string bytes)
    {
        var broker = new BrokerDescription(3, "0.1.0", 4, 5, "/data", BrokerState.Unknown);
        object[] written = [broker, new ClusterDescription("c1", "cluster", [broker]),
            new PartitionDescription(1, 2, 3, [2, 4], [2], 5, 6, 7, 8, "offline"),
            new LoginAnswer { Ticket = [1, 2, 3], Life = TimeSpan.FromMinutes(4) },
            (QueueSettlement)Samples["QueueSettlement"] with { IsUncounted = false }];
        Assert.Contains(Printed.Of(Serializer.Deserialize<object>(Convert.FromHexString(bytes))), written.Select(Printed.Of));
    }

    [Theory]
    [MemberData(nameof(SampleNames))]
    public void Value_round_trips(string name)
    {
        var bytes = Serializer.SerializeToArray(Samples[name]);
        Assert.Contains($"omq.{name}", Encoding.Latin1.GetString(bytes), StringComparison.Ordinal);
        var read = Serializer.Deserialize<object>(bytes);
        Assert.IsType(Samples[name].GetType(), read);
        Assert.Equal(Printed.Of(Samples[name]), Printed.Of(read));
    }

    [Fact]
    public void Caller_of_a_heartbeat_round_trips()
    {
        var sent = (ConsumerGroupHeartbeat)Samples["ConsumerGroupHeartbeat"];
        foreach (var subscriber in (Subscriber?[])[sent.Subscriber, Subscriber.Broker, null])
        {
            var bytes = Serializer.SerializeToArray(sent with { Subscriber = subscriber });
            Assert.Equal(subscriber, Serializer.Deserialize<ConsumerGroupHeartbeat>(bytes)!.Subscriber);
        }
    }

    public static TheoryData<string> SampleNames() => [.. Samples.Keys];
}
