using OrleansMq.Access;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Tests.Kafka.Codec;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Access;

/// <summary>Which single permission changes the answer to which request of the Kafka protocol: each opens its own rows alone.</summary>
public sealed class SinglePermissionTests
{
    // Some need a second permission for the rest of the request; those of DeleteTopics without Describe are refused without saying more.
    private static readonly Dictionary<ApiKey, string[]> Opens = new()
    {
        [ApiKey.Produce] = ["Topic.Write"],
        [ApiKey.Fetch] = ["Topic.Read"],
        [ApiKey.ListOffsets] = ["Topic.Describe"],
        [ApiKey.Metadata] = ["Topic.Describe"],
        [ApiKey.OffsetCommit] = ["Group.Read"],
        [ApiKey.OffsetFetch] = ["Group.Describe"],
        [ApiKey.FindCoordinator] = ["Group.Describe"],
        [ApiKey.JoinGroup] = ["Group.Read"],
        [ApiKey.Heartbeat] = ["Group.Read"],
        [ApiKey.LeaveGroup] = ["Group.Read"],
        [ApiKey.SyncGroup] = ["Group.Read"],
        [ApiKey.DescribeGroups] = ["Group.Describe"],
        [ApiKey.ListGroups] = ["Group.Describe"],
        [ApiKey.CreateTopics] = ["Topic.Create", "Cluster.Create"],
        [ApiKey.DeleteTopics] = ["Topic.Delete", "Topic.Describe"],
        [ApiKey.DeleteRecords] = ["Topic.Delete"],
        [ApiKey.InitProducerId] = ["Topic.Write", "Cluster.IdempotentWrite"],
        [ApiKey.OffsetForLeaderEpoch] = ["Topic.Describe"],
        [ApiKey.AddPartitionsToTxn] = ["TransactionalId.Write"],
        [ApiKey.AddOffsetsToTxn] = ["TransactionalId.Write"],
        [ApiKey.EndTxn] = ["TransactionalId.Write"],
        [ApiKey.WriteTxnMarkers] = ["Cluster.Alter"],
        [ApiKey.TxnOffsetCommit] = ["TransactionalId.Write"],
        [ApiKey.DescribeAcls] = ["Cluster.Describe"],
        [ApiKey.CreateAcls] = ["Cluster.Alter"],
        [ApiKey.DeleteAcls] = ["Cluster.Alter"],
        [ApiKey.DescribeClientQuotas] = ["Cluster.DescribeConfigs"],
        [ApiKey.AlterClientQuotas] = ["Cluster.AlterConfigs"],
        [ApiKey.DescribeUserScramCredentials] = ["Cluster.Describe"],
        [ApiKey.AlterUserScramCredentials] = ["Cluster.Alter"],
        [ApiKey.DescribeConfigs] = ["Topic.DescribeConfigs"],
        [ApiKey.AlterConfigs] = ["Topic.AlterConfigs"],
        [ApiKey.DescribeLogDirs] = ["Cluster.Describe"],
        [ApiKey.CreatePartitions] = ["Topic.Alter"],
        [ApiKey.DeleteGroups] = ["Group.Delete"],
        [ApiKey.ElectLeaders] = ["Cluster.Alter"],
        [ApiKey.IncrementalAlterConfigs] = ["Topic.AlterConfigs"],
        [ApiKey.AlterPartitionReassignments] = ["Cluster.Alter"],
        [ApiKey.ListPartitionReassignments] = ["Cluster.Describe"],
        [ApiKey.OffsetDelete] = ["Group.Delete"],
        [ApiKey.DescribeProducers] = ["Topic.Read"],
        [ApiKey.DescribeTransactions] = ["TransactionalId.Describe"],
        [ApiKey.ListTransactions] = ["TransactionalId.Describe"],
        [ApiKey.ConsumerGroupHeartbeat] = ["Group.Read"],
        [ApiKey.ConsumerGroupDescribe] = ["Group.Describe"],
        [ApiKey.ShareGroupHeartbeat] = ["Group.Read"],
        [ApiKey.ShareGroupDescribe] = ["Group.Describe"],
        [ApiKey.ShareFetch] = ["Group.Read"],
        [ApiKey.ShareAcknowledge] = ["Group.Read"],
        [ApiKey.DescribeShareGroupOffsets] = ["Group.Describe"],
        [ApiKey.AlterShareGroupOffsets] = ["Group.Read"],
        [ApiKey.DeleteShareGroupOffsets] = ["Group.Delete"],
        [ApiKey.ListConfigResources] = ["Cluster.DescribeConfigs"],
        [ApiKey.DescribeTopicPartitions] = ["Topic.Describe"],
    };

    // Nothing is asked for.
    private static readonly ApiKey[] Indifferent =
        [ApiKey.ApiVersions, ApiKey.SaslHandshake, ApiKey.SaslAuthenticate, ApiKey.DescribeCluster];

    public static TheoryData<string> Names => [.. ApiTable.All.Select(static api => api.Key.ToString())];

    [Fact]
    public void Every_request_that_is_served_is_in_the_table() =>
        Assert.Equal(ApiTable.All.Select(static api => api.Key).Order(), Opens.Keys.Concat(Indifferent).Order());

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Each_permission_opens_its_own_rows_alone(string name)
    {
        var key = Enum.Parse<ApiKey>(name);
        var opened = new List<string>();
        var left = new Queue<(ResourceType Type, AccessOperation Operation)>(SinglePermission.All);
        while (left.Count > 0)
        {
            // What is refused leaves the broker as it was.
            var rule = new SinglePermission();
            await using var harness = await GatewayHarness.StartAsync(rule);
            var denied = await AskAsync(key, harness);
            while (left.TryDequeue(out var permission))
            {
                rule.Permission = permission;
                if (await AskAsync(key, harness) == denied)
                    continue;
                opened.Add($"{permission.Type}.{permission.Operation}");
                break;
            }
        }
        Assert.Equal(Opens.GetValueOrDefault(key, []).Order(), opened.Order());
    }

    private static async Task<string> AskAsync(ApiKey api, GatewayHarness harness)
    {
        var (key, version) = ((short)api, ApiTable.All.Single(one => one.Key == api).MaxVersion);
        var frame = new MessageEncoder(new Unfiltered(key, version, harness.Orders)).Request(Schema.Request(key), version, 1, "client");
        var answer = await harness.AnswerAsync(frame);
        return answer is null ? "" : MessageText.OfResponse(Schema.Response(key), version, answer, 1);
    }

    // The sample of ListGroups filters by states and types that no group has.
    private sealed class Unfiltered(short key, short version, Guid orders) : IFieldValues
    {
        private readonly SampleValues _sample = new(key, version, orders);

        public int Length(Field field, bool mayBeNull) =>
            field.Name is "StatesFilter" or "TypesFilter" ? 0 : _sample.Length(field, mayBeNull);

        public bool IsNull(Field field) => _sample.IsNull(field);

        public object? Value(Field field, bool mayBeNull) => _sample.Value(field, mayBeNull);
    }
}
