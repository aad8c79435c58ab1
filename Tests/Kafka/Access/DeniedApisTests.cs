using System.Text.RegularExpressions;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Tests.Kafka.Codec;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Access;

/// <summary>Every request of the Kafka protocol, in every version, from a client that may do nothing: none reaches the engine.</summary>
public sealed partial class DeniedApisTests
{
    private const ErrorCode Topic = ErrorCode.TopicAuthorizationFailed;
    private const ErrorCode Group = ErrorCode.GroupAuthorizationFailed;
    private const ErrorCode Cluster = ErrorCode.ClusterAuthorizationFailed;
    private const ErrorCode TransactionalId = ErrorCode.TransactionalIdAuthorizationFailed;
    private const int CorrelationId = 1;

    // Open to every client: what it needs to authenticate.
    private static readonly ApiKey[] Open =
        [ApiKey.ApiVersions, ApiKey.SaslHandshake, ApiKey.SaslAuthenticate, ApiKey.DescribeCluster];

    // Answer with what the client may see: nothing.
    private static readonly ApiKey[] Filtered = [ApiKey.ListGroups, ApiKey.ListTransactions];

    private static readonly Dictionary<ApiKey, ErrorCode> Refused = new()
    {
        [ApiKey.Produce] = Topic,
        [ApiKey.Fetch] = Topic,
        [ApiKey.ListOffsets] = Topic,
        [ApiKey.Metadata] = Topic,
        [ApiKey.OffsetCommit] = Group,
        [ApiKey.OffsetFetch] = Group,
        [ApiKey.FindCoordinator] = Group,
        [ApiKey.JoinGroup] = Group,
        [ApiKey.Heartbeat] = Group,
        [ApiKey.LeaveGroup] = Group,
        [ApiKey.SyncGroup] = Group,
        [ApiKey.DescribeGroups] = Group,
        [ApiKey.CreateTopics] = Topic,
        [ApiKey.DeleteTopics] = Topic,
        [ApiKey.DeleteRecords] = Topic,
        [ApiKey.InitProducerId] = Cluster,
        [ApiKey.OffsetForLeaderEpoch] = Topic,
        [ApiKey.AddPartitionsToTxn] = TransactionalId,
        [ApiKey.AddOffsetsToTxn] = TransactionalId,
        [ApiKey.EndTxn] = TransactionalId,
        [ApiKey.WriteTxnMarkers] = Cluster,
        [ApiKey.TxnOffsetCommit] = TransactionalId,
        [ApiKey.DescribeAcls] = Cluster,
        [ApiKey.CreateAcls] = Cluster,
        [ApiKey.DeleteAcls] = Cluster,
        [ApiKey.DescribeClientQuotas] = Cluster,
        [ApiKey.AlterClientQuotas] = Cluster,
        [ApiKey.DescribeUserScramCredentials] = Cluster,
        [ApiKey.AlterUserScramCredentials] = Cluster,
        [ApiKey.DescribeConfigs] = Topic,
        [ApiKey.AlterConfigs] = Topic,
        [ApiKey.DescribeLogDirs] = Cluster,
        [ApiKey.CreatePartitions] = Topic,
        [ApiKey.DeleteGroups] = Group,
        [ApiKey.ElectLeaders] = Cluster,
        [ApiKey.IncrementalAlterConfigs] = Topic,
        [ApiKey.AlterPartitionReassignments] = Cluster,
        [ApiKey.ListPartitionReassignments] = Cluster,
        [ApiKey.OffsetDelete] = Group,
        [ApiKey.DescribeProducers] = Topic,
        [ApiKey.DescribeTransactions] = TransactionalId,
        [ApiKey.ConsumerGroupHeartbeat] = Group,
        [ApiKey.ConsumerGroupDescribe] = Group,
        [ApiKey.ShareGroupHeartbeat] = Group,
        [ApiKey.ShareGroupDescribe] = Group,
        [ApiKey.ShareFetch] = Group,
        [ApiKey.ShareAcknowledge] = Group,
        [ApiKey.DescribeShareGroupOffsets] = Group,
        [ApiKey.AlterShareGroupOffsets] = Group,
        [ApiKey.DeleteShareGroupOffsets] = Group,
        [ApiKey.ListConfigResources] = Cluster,
        [ApiKey.DescribeTopicPartitions] = Topic,
    };

    public static TheoryData<string> Names => [.. ApiTable.All.Select(static api => api.Key.ToString())];

    [Fact]
    public void Every_request_that_is_served_is_in_the_table() => Assert.Equal(
        ApiTable.All.Select(static api => api.Key).Order(), Refused.Keys.Concat(Open).Concat(Filtered).Order());

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Denied_request_does_not_reach_the_engine(string name)
    {
        var api = ApiTable.All.Single(api => api.Key.ToString() == name);
        var calls = new List<string>();
        await using var harness = await GatewayHarness.StartAsync(new SwitchedAuthorizer { Denies = true },
            broker => CallRecorder.Of(broker, calls));
        var before = await DescribeAsync(harness);
        for (var version = api.MinDecodedVersion; version <= api.MaxVersion; version++)
            AssertRefused(api.Key, version, await AskAsync(harness, (short)api.Key, version));
        if (!Filtered.Contains(api.Key))
            Assert.Empty(calls);
        Assert.Equal(before, await DescribeAsync(harness));
    }

    [Theory]
    [InlineData((short)ApiKey.Metadata, 12, "Topics")]
    [InlineData((short)ApiKey.DescribeTopicPartitions, 0, "Topics")]
    public async Task Request_for_all_topics_answers_none(short key, short version, string topics)
    {
        await using var harness = await GatewayHarness.StartAsync(new SwitchedAuthorizer { Denies = true });
        var frame = new MessageEncoder(new AllTopics(key, version)).Request(Schema.Request(key), version, CorrelationId, "client");
        var text = MessageText.OfResponse(Schema.Response(key), version, (await harness.AnswerAsync(frame))!, CorrelationId);
        Assert.DoesNotContain($"{topics}[0]", text, StringComparison.Ordinal);
        Assert.DoesNotContain("orders", text, StringComparison.Ordinal);
    }

    private static async Task<string> AskAsync(GatewayHarness harness, short key, short version)
    {
        var frame = new MessageEncoder(new SampleValues(key, version, harness.Orders)).Request(Schema.Request(key), version, CorrelationId,
            "client");
        return MessageText.OfResponse(Schema.Response(key), version, (await harness.AnswerAsync(frame))!, CorrelationId);
    }

    private static void AssertRefused(ApiKey key, short version, string answer)
    {
        // This listener asks for no authentication.
        if (key is ApiKey.SaslHandshake or ApiKey.SaslAuthenticate)
        {
            Assert.Contains($"ErrorCode: {(short)ErrorCode.IllegalSaslState}\n", answer, StringComparison.Ordinal);
            return;
        }
        var errors = ErrorCodes().Matches(answer).Select(static match => (ErrorCode)short.Parse(match.Groups[1].Value,
            System.Globalization.CultureInfo.InvariantCulture)).Where(static error => error != ErrorCode.None).Distinct();
        Assert.True(errors.SequenceEqual(Refused.TryGetValue(key, out var expected) ? [expected] : []),
            $"{key} version {version} answers\n{answer}");
    }

    private static async Task<string> DescribeAsync(GatewayHarness harness)
    {
        var topics = new List<string>();
        foreach (var listing in await harness.Broker.ListTopicsAsync())
        {
            var topic = await harness.Broker.DescribeTopicAsync(listing.Name);
            topics.Add($"{topic.Name} {topic.TopicId} {string.Join(' ', topic.Configs)} "
                + string.Join(' ', topic.Partitions.Select(static p => $"{p.LogStartOffset} {p.LogEndOffset}")));
        }
        return string.Join('\n', topics);
    }

    [GeneratedRegex(@"ErrorCode: (-?\d+)\n")]
    private static partial Regex ErrorCodes();

    /// <summary>The sample's values, but no topics: that means all.</summary>
    private sealed class AllTopics(short key, short version) : IFieldValues
    {
        private readonly SampleValues _sample = new(key, version, Guid.Empty);

        public int Length(Field field, bool mayBeNull) =>
            field.Name == "Topics" ? mayBeNull ? -1 : 0 : _sample.Length(field, mayBeNull);

        public bool IsNull(Field field) => _sample.IsNull(field);

        public object? Value(Field field, bool mayBeNull) => _sample.Value(field, mayBeNull);
    }
}
