using System.Reflection;
using OrleansMq.Api;
using OrleansMq.Grains;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Topics;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Access;

/// <summary>Every method of the public grains, by an Orleans client that may do nothing: none reaches the engine.</summary>
public sealed class DeniedGrainsTests : IAsyncLifetime
{
    private const ErrorCode Topic = ErrorCode.TopicAuthorizationFailed;
    private const ErrorCode Group = ErrorCode.GroupAuthorizationFailed;
    private const ErrorCode Cluster = ErrorCode.ClusterAuthorizationFailed;
    private static readonly TopicPartition Orders = new("orders", 0);

    // Between brokers, and refused to clients.
    private static readonly Type[] Refused = [typeof(IClusterOwnerGrain), typeof(ITopicOwnerGrain)];

    // Between brokers, on a partition's grain, which has no call filter so that a produce request passes none. Nothing keeps a client with
    // code of its own from them yet.
    private static readonly Type[] Unguarded =
        [typeof(IPartitionForwardGrain), typeof(IPartitionOwnerGrain), typeof(IPartitionLeaderGrain)];

    private static readonly Dictionary<string, (ErrorCode Error, Func<Calls, Task<ErrorCode>> Call)> Methods = new()
    {
        ["ITopicGrain.FindAsync"] = (Topic, calls => Done(calls.Topic.FindAsync())),
        ["ITopicGrain.DescribeAsync"] = (Topic, calls => Done(calls.Topic.DescribeAsync())),
        ["ITopicGrain.AlterAsync"] = (Topic, calls => Done(calls.Topic.AlterAsync(new() { ["retention.ms"] = "1" }))),
        ["ITopicGrain.AddPartitionsAsync"] = (Topic, calls => Done(calls.Topic.AddPartitionsAsync(9))),

        ["IClusterGrain.CreateTopicAsync"] = (Topic, calls => Done(calls.Cluster.CreateTopicAsync(new NewTopic("fresh")))),
        ["IClusterGrain.DeleteTopicAsync"] = (Topic, calls => Done(calls.Cluster.DeleteTopicAsync("orders"))),
        ["IClusterGrain.ListTopicsAsync"] = (ErrorCode.None, async calls => Nothing(await calls.Cluster.ListTopicsAsync())),
        ["IClusterGrain.InitProducerIdAsync"] = (Cluster, calls => Done(calls.Cluster.InitProducerIdAsync())),
        ["IClusterGrain.DescribeAsync"] = (Cluster, calls => Done(calls.Cluster.DescribeAsync())),
        ["IClusterGrain.GetMetadataAsync"] = (Cluster, calls => Done(calls.Cluster.GetMetadataAsync(0))),
        ["IClusterGrain.ReassignPartitionAsync"] = (Cluster, calls => Done(calls.Cluster.ReassignPartitionAsync("orders", 0, [0]))),
        ["IClusterGrain.ListReassignmentsAsync"] = (Cluster, calls => Done(calls.Cluster.ListReassignmentsAsync())),
        ["IClusterGrain.CancelReassignmentAsync"] = (Cluster, calls => Done(calls.Cluster.CancelReassignmentAsync("orders", 0))),
        ["IClusterGrain.ElectPreferredLeadersAsync"] = (Cluster, calls => Done(calls.Cluster.ElectPreferredLeadersAsync("orders", 0))),
        ["IClusterGrain.ElectUncleanAsync"] = (Cluster, calls => Done(calls.Cluster.ElectUncleanAsync("orders", 0, null))),
        ["IClusterGrain.PlanRebalanceAsync"] = (Cluster, calls => Done(calls.Cluster.PlanRebalanceAsync())),
        ["IClusterGrain.ExecuteRebalanceAsync"] = (Cluster, calls => Done(calls.Cluster.ExecuteRebalanceAsync("plan", null))),
        ["IClusterGrain.GetRebalanceAsync"] = (Cluster, calls => Done(calls.Cluster.GetRebalanceAsync())),
        ["IClusterGrain.CancelRebalanceAsync"] = (Cluster, calls => Done(calls.Cluster.CancelRebalanceAsync())),
        ["IClusterGrain.SetAutoRebalanceAsync"] = (Cluster, calls => Done(calls.Cluster.SetAutoRebalanceAsync(true))),
        ["IClusterGrain.DrainBrokerAsync"] = (Cluster, calls => Done(calls.Cluster.DrainBrokerAsync(0))),
        ["IClusterGrain.ResumeBrokerAsync"] = (Cluster, calls => Done(calls.Cluster.ResumeBrokerAsync(0))),
        ["IClusterGrain.RemoveBrokerAsync"] = (Cluster, calls => Done(calls.Cluster.RemoveBrokerAsync(0))),

        ["IGroupGrain.FindCoordinatorAsync"] = (Group, calls => Done(calls.Group.FindCoordinatorAsync())),
        ["IGroupGrain.SendAsync"] = (Group, async calls =>
            ((IGroupAnswer)(await calls.Group.SendAsync(new OffsetFetch { GroupId = "g" }, Guid.Empty))!).Error),
        ["IGroupListGrain.ListAsync"] = (ErrorCode.None, async calls => Nothing(await calls.Groups.ListAsync())),

        ["IPartitionGrain.AppendAsync"] = (Topic,
            async calls => (await calls.Partition.AppendAsync(TestBatches.Of("b"), Acks.All)).Error),
        ["IPartitionGrain.ReadAsync"] = (Topic, async calls => (await calls.Partition.ReadAsync(new PartitionRead(0))).Error),
        ["IPartitionGrain.FindOffsetAsync"] = (Topic, async calls => (await calls.Partition.FindOffsetAsync(OffsetSpec.Latest)).Error),
        ["IPartitionGrain.DeleteRecordsAsync"] = (Topic, calls => Done(calls.Partition.DeleteRecordsAsync(-1))),
        ["IPartitionGrain.DescribeAsync"] = (Topic, calls => Done(calls.Partition.DescribeAsync())),
        ["IPartitionAppendGrain.AppendAsync"] = (Topic, async calls =>
            (await calls.Appends.AppendAsync(BatchInCall.Lend(TestBatches.Of("b")), Acks.All)).Error),
        ["IPartitionAppendGrain.AppendManyAsync"] = (Topic, async calls =>
            (await calls.Appends.AppendManyAsync([BatchInCall.Lend(TestBatches.Of("b"))], Acks.All)).Single().Error),
    };

    private readonly TempDirectory _data = new();
    private readonly SwitchedAuthorizer _authorizer = new();
    private TestSilo _silo = null!;
    private Guid _topicId;

    public static TheoryData<string> Names => [.. Methods.Keys];

    public async Task InitializeAsync()
    {
        _silo = await TestSilo.StartAsync(_data.Path, configure: options => options with { Authorizer = _authorizer });
        _topicId = (await _silo.Outside.CreateTopicAsync(new NewTopic("orders"))).TopicId;
        Assert.Equal(ErrorCode.None, (await _silo.Outside.ProduceAsync(Orders, TestBatches.Of("a"), Acks.All)).Error);
        await _silo.Outside.Groups.CommitOffsetsAsync(new OffsetCommit
        {
            GroupId = "g",
            Offsets = [new PartitionOffset("orders", 0, new CommittedOffset(1))],
        });
        _authorizer.Denies = true;
    }

    public async Task DisposeAsync()
    {
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public void Every_method_of_a_grain_that_clients_call_is_in_the_table() => Assert.Equal(
        typeof(IClusterGrain).Assembly.GetTypes().Concat(typeof(GrainDoor).Assembly.GetTypes())
            .Where(static type => type.IsInterface && type.IsAssignableTo(typeof(IGrain)))
            .Except([.. Refused, .. Unguarded])
            .SelectMany(static type => type.GetMethods(BindingFlags.Public | BindingFlags.Instance)
                .Select(method => $"{type.Name}.{method.Name}"))
            .Order(StringComparer.Ordinal),
        Methods.Keys.Order(StringComparer.Ordinal));

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Denied_call_does_not_reach_the_engine(string name)
    {
        var before = await DescribeAsync();
        Assert.Equal(Methods[name].Error, await ErrorOfAsync(Methods[name].Call));
        Assert.Equal(before, await DescribeAsync());
    }

    [Fact]
    public async Task Interfaces_between_brokers_refuse_clients()
    {
        var owner = _silo.Client.GetGrain<IClusterOwnerGrain>(GrainKeys.Cluster);
        Assert.Equal(Cluster, (await Assert.ThrowsAsync<BrokerException>(() => owner.PlaceAsync(1, 1))).Code);
        var topic = _silo.Client.GetGrain<ITopicOwnerGrain>("orders");
        Assert.Equal(Cluster, (await Assert.ThrowsAsync<BrokerException>(() => topic.DeleteAsync(_topicId))).Code);
    }

    [Fact]
    public async Task Session_in_the_silo_is_refused_by_the_door_and_not_by_the_grains()
    {
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await _silo.Inside.DescribeTopicAsync("orders"));
        Assert.Equal(Topic, refused.Code);
        var inside = (IGrainFactory)_silo.Services.GetService(typeof(IGrainFactory))!;
        Assert.Equal(_topicId, (await inside.GetGrain<ITopicGrain>("orders").FindAsync())?.TopicId);
    }

    private async Task<ErrorCode> ErrorOfAsync(Func<Calls, Task<ErrorCode>> call)
    {
        try
        {
            return await call(new Calls(_silo.Client, _topicId));
        }
        catch (BrokerException refused)
        {
            return refused.Code;
        }
    }

    // By the engine itself, behind the door.
    private async Task<string> DescribeAsync()
    {
        var grains = (IGrainFactory)_silo.Services.GetService(typeof(IGrainFactory))!;
        var topic = await grains.GetGrain<ITopicGrain>("orders").DescribeAsync();
        var partition = topic.Partitions.Single();
        return $"{topic.TopicId} {string.Join(' ', topic.Configs)} {partition.LogStartOffset} {partition.LogEndOffset} "
            + string.Join(' ', (await grains.GetGrain<IClusterGrain>(GrainKeys.Cluster).ListTopicsAsync()).Select(static t => t.Name));
    }

    private static async Task<ErrorCode> Done(Task call)
    {
        await call;
        return ErrorCode.None;
    }

    private static ErrorCode Nothing<T>(T[] list) => list.Length == 0 ? ErrorCode.None : ErrorCode.UnknownServerError;

    /// <summary>The grains, as an Orleans client calls them.</summary>
    private sealed class Calls(IGrainFactory grains, Guid topicId)
    {
        private readonly string _partition = GrainKeys.Partition(topicId, 0);

        public ITopicGrain Topic => grains.GetGrain<ITopicGrain>("orders");

        public IClusterGrain Cluster => grains.GetGrain<IClusterGrain>(GrainKeys.Cluster);

        public IGroupGrain Group => grains.GetGrain<IGroupGrain>("g");

        public IGroupListGrain Groups => grains.GetGrain<IGroupListGrain>(GrainKeys.Cluster);

        public IPartitionGrain Partition => grains.GetGrain<IPartitionGrain>(_partition);

        public IPartitionAppendGrain Appends => grains.GetGrain<IPartitionAppendGrain>(_partition);
    }
}
