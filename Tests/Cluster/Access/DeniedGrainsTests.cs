using System.Reflection;
using OrleansMq.Api;
using OrleansMq.Grains;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Topics;
using OrleansMq.Grains.Transactions;
using OrleansMq.Grains.VirtualHosts;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Access;

/// <summary>Every method of the public grains, by an Orleans client that may do nothing: none reaches the engine.</summary>
public sealed class DeniedGrainsTests : IAsyncLifetime
{
    private const ErrorCode Topic = ErrorCode.TopicAuthorizationFailed;
    private const ErrorCode Group = ErrorCode.GroupAuthorizationFailed;
    private const ErrorCode Cluster = ErrorCode.ClusterAuthorizationFailed;
    private static readonly TopicPartition Orders = new("orders", 0);

    // Between brokers: refused to clients, whatever rules allow.
    private static readonly Type[] BetweenBrokers =
        [typeof(IClusterOwnerGrain), typeof(ITopicOwnerGrain), typeof(IVirtualHostsGrain), typeof(IPartitionForwardGrain),
            typeof(IQueueForwardGrain), typeof(IScheduleForwardGrain), typeof(IPartitionOwnerGrain), typeof(IPartitionLeaderGrain),
            typeof(ITransactionMarkerGrain)];

    // Open to strangers.
    private static readonly Type[] Open = [typeof(ILoginGrain)];

    // What a method is about where its grain is about something else.
    private static readonly Dictionary<string, ErrorCode> Others = new()
    {
        ["IClusterGrain.CreateTopicAsync"] = Topic,
        ["IClusterGrain.DeleteTopicAsync"] = Topic,
        ["IClusterGrain.DeleteTopicByIdAsync"] = Topic,
        // A list answers with what the client may see: nothing.
        ["IClusterGrain.ListTopicsAsync"] = ErrorCode.None,
        ["IGroupListGrain.ListAsync"] = ErrorCode.None,
        ["IGroupListGrain.ListConfiguredAsync"] = Cluster,
        ["ITransactionListGrain.ListAsync"] = ErrorCode.None,
    };

    private static readonly IReadOnlyDictionary<string, MethodInfo> Methods = MethodsOf(typeof(IClusterGrain).Assembly.GetTypes()
        .Concat(typeof(GrainDoor).Assembly.GetTypes())
        .Where(static type => type.IsInterface && type.IsAssignableTo(typeof(IGrain)))
        .Except([.. BetweenBrokers, .. Open]));

    private static readonly IReadOnlyDictionary<string, MethodInfo> MethodsOfBrokers = MethodsOf(BetweenBrokers);

    private readonly TempDirectory _data = new();
    private readonly SwitchedAuthorizer _authorizer = new();
    private TestSilo _silo = null!;
    private Guid _topicId;

    public static TheoryData<string> Names => [.. Methods.Keys];

    public static TheoryData<string> NamesOfBrokers => [.. MethodsOfBrokers.Keys];

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

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Denied_call_does_not_reach_the_engine(string name)
    {
        var before = await DescribeAsync();
        Assert.Equal(Others.TryGetValue(name, out var other) ? other : ErrorOf(Methods[name].DeclaringType!),
            await ErrorOfAsync(Methods[name]));
        Assert.Equal(before, await DescribeAsync());
    }

    [Fact]
    public void Every_method_takes_a_cancellation_token()
    {
        Assert.All(Methods.Values.Where(static method => method.DeclaringType!.IsPublic), static method =>
        {
            var last = method.GetParameters().LastOrDefault();
            Assert.True(last is { HasDefaultValue: true } && last.ParameterType == typeof(CancellationToken), method.Name);
        });
    }

    [Theory]
    [MemberData(nameof(NamesOfBrokers))]
    public async Task Interface_between_brokers_refuses_clients_that_may_do_everything(string name)
    {
        _authorizer.Denies = false;
        var before = await DescribeAsync();
        Assert.Equal(Cluster, await ErrorOfAsync(MethodsOfBrokers[name]));
        Assert.Equal(before, await DescribeAsync());
    }

    [Fact]
    public async Task Session_in_the_silo_is_refused_by_the_door_and_not_by_the_grains()
    {
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await _silo.Inside.DescribeTopicAsync("orders"));
        Assert.Equal(Topic, refused.Code);
        var inside = (IGrainFactory)_silo.Services.GetService(typeof(IGrainFactory))!;
        Assert.Equal(_topicId, (await inside.GetGrain<ITopicGrain>("orders").FindAsync())?.TopicId);
    }

    private static ErrorCode ErrorOf(Type grain) =>
        grain == typeof(ITopicGrain) || grain == typeof(IScheduleGrain) || IsOfPartition(grain) ? Topic
        : grain == typeof(IGroupGrain) ? Group
        : grain == typeof(ITransactionGrain) ? ErrorCode.TransactionalIdAuthorizationFailed : Cluster;

    private async Task<ErrorCode> ErrorOfAsync(MethodInfo method)
    {
        try
        {
            var call = (Task)method.Invoke(GrainOf(method.DeclaringType!), [.. method.GetParameters().Select(ArgumentOf)])!;
            await call;
            return ErrorOf(method.ReturnType.GetProperty("Result")?.GetValue(call));
        }
        catch (BrokerException refused)
        {
            return refused.Code;
        }
    }

    private IGrain GrainOf(Type type) => (IGrain)_silo.Client.GetGrain(type,
        type == typeof(ITopicGrain) || type == typeof(ITopicOwnerGrain) ? "orders"
        : type == typeof(IVirtualHostsGrain) ? VirtualHostsGrain.Key
        : type == typeof(IGroupGrain) ? "g"
        : type == typeof(ITransactionGrain) ? "t"
        : IsOfPartition(type) ? GrainKeys.Partition(_topicId, 0) : GrainKeys.Cluster);

    private static bool IsOfPartition(Type type) => type.Namespace == typeof(IPartitionOwnerGrain).Namespace
        || type == typeof(IPartitionGrain) || type == typeof(IPartitionAppendGrain) || type == typeof(IQueueGrain)
        || type == typeof(IPartitionForwardGrain) || type == typeof(IQueueForwardGrain) || type == typeof(IScheduleForwardGrain)
        || type == typeof(ITransactionMarkerGrain);

    private static Dictionary<string, MethodInfo> MethodsOf(IEnumerable<Type> grains) => grains
        .SelectMany(static type => type.GetMethods(BindingFlags.Public | BindingFlags.Instance))
        .ToDictionary(static method => $"{method.DeclaringType!.Name}.{method.Name}");

    private static object? ArgumentOf(ParameterInfo parameter) => parameter.ParameterType switch
    {
        var type when type == typeof(string) => "orders",
        var type when type == typeof(NewTopic) => new NewTopic("fresh"),
        var type when type == typeof(Dictionary<string, string?>) => new Dictionary<string, string?> { ["retention.ms"] = "1" },
        var type when type == typeof(NewSchedule) => new NewSchedule("orders"),
        var type when type == typeof(ScheduleQuery) => new ScheduleQuery { Topic = "orders" },
        var type when type == typeof(int[]) => new[] { 0 },
        var type when type == typeof(Acks) => Acks.All,
        var type when type == typeof(ReadOnlyMemory<byte>) => (ReadOnlyMemory<byte>)TestBatches.Of("b"),
        var type when type == typeof(BatchInCall) => BatchInCall.Lend(TestBatches.Of("b")),
        var type when type == typeof(BatchInCall[]) => new[] { BatchInCall.Lend(TestBatches.Of("b")) },
        var type when type == typeof(IGroupRequest) => new OffsetFetch { GroupId = "g" },
        var type when type == typeof(ITransactionRequest) => new DescribeTransaction("t"),
        { IsValueType: true } type => Activator.CreateInstance(type),
        _ => null,
    };

    private static ErrorCode ErrorOf(object? result) => result switch
    {
        ProduceResult produced => produced.Error,
        ProduceResult[] produced => produced.Single().Error,
        FetchResult fetched => fetched.Error,
        OffsetResult offset => offset.Error,
        IGroupAnswer answer => answer.Error,
        ITransactionAnswer answer => answer.Error,
        Array { Length: > 0 } => ErrorCode.UnknownServerError,
        _ => ErrorCode.None,
    };

    // By the engine itself, behind the door.
    private async Task<string> DescribeAsync()
    {
        var grains = (IGrainFactory)_silo.Services.GetService(typeof(IGrainFactory))!;
        var topic = await grains.GetGrain<ITopicGrain>("orders").DescribeAsync();
        var partition = topic.Partitions.Single();
        return $"{topic.TopicId} {string.Join(' ', topic.Configs)} {partition.LogStartOffset} {partition.LogEndOffset} "
            + string.Join(' ', (await grains.GetGrain<IClusterGrain>(GrainKeys.Cluster).ListTopicsAsync()).Select(static t => t.Name));
    }
}
