using System.Reflection;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Storage;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Access;

/// <summary>Every operation of the broker API, by a session that may do nothing: none reaches the engine.</summary>
public sealed class DeniedBrokerTests : IAsyncLifetime
{
    private const ErrorCode Topic = ErrorCode.TopicAuthorizationFailed;
    private const ErrorCode Group = ErrorCode.GroupAuthorizationFailed;
    private const ErrorCode Cluster = ErrorCode.ClusterAuthorizationFailed;
    private static readonly TopicPartition Orders = new("orders", 0);
    private readonly List<string> _calls = [];
    private LocalBroker _broker = null!;

    // A list answers with what the session may see: nothing. It is the only kind that may ask the engine.
    private static readonly Dictionary<string, (ErrorCode Error, Func<IBroker, ValueTask<ErrorCode>> Call)> Operations = new()
    {
        ["CreateTopicAsync"] = (Topic, async broker => Done(await broker.CreateTopicAsync(new NewTopic("fresh")))),
        ["DeleteTopicAsync"] = (Topic, async broker => await DoneAsync(broker.DeleteTopicAsync("orders"))),
        ["ListTopicsAsync"] = (ErrorCode.None, async broker => Nothing(await broker.ListTopicsAsync())),
        ["DescribeTopicAsync"] = (Topic, async broker => Done(await broker.DescribeTopicAsync("orders"))),
        ["GetTopicAsync"] = (Topic, async broker => Done(await broker.GetTopicAsync("orders"))),
        ["AlterTopicAsync"] = (Topic,
            async broker => Done(await broker.AlterTopicAsync("orders", new Dictionary<string, string?> { ["retention.ms"] = "1" }))),
        ["AddPartitionsAsync"] = (Topic, async broker => Done(await broker.AddPartitionsAsync("orders", 9))),
        ["ProduceAsync"] = (Topic, async broker => (await broker.ProduceAsync(Orders, TestBatches.Of("b"), Acks.All)).Error),
        ["ProduceInTransactionAsync"] = (Topic,
            async broker => (await broker.ProduceInTransactionAsync(Orders, TestBatches.InTransaction(new(1, 0), 0, "b"),
                new BatchTransaction("t", 1))).Error),
        ["FetchAsync"] = (Topic, async broker => (await broker.FetchAsync(new FetchRequest(Orders, 0))).Error),
        ["FindOffsetAsync"] = (Topic, async broker => (await broker.FindOffsetAsync(Orders, OffsetSpec.Latest)).Error),
        ["DeleteRecordsAsync"] = (Topic, async broker => Done(await broker.DeleteRecordsAsync(Orders, -1))),
        ["InitProducerIdAsync"] = (Cluster, async broker => Done(await broker.InitProducerIdAsync())),
        ["DescribeClusterAsync"] = (Cluster, async broker => Done(await broker.DescribeClusterAsync())),

        ["ReassignPartitionAsync"] = (Cluster, async broker => Done(await broker.Administration.ReassignPartitionAsync(Orders, [0]))),
        ["ListReassignmentsAsync"] = (Cluster, async broker => Done(await broker.Administration.ListReassignmentsAsync())),
        ["CancelReassignmentAsync"] = (Cluster, async broker => await DoneAsync(broker.Administration.CancelReassignmentAsync(Orders))),
        ["ElectPreferredLeadersAsync"] = (Cluster, async broker => Done(await broker.Administration.ElectPreferredLeadersAsync())),
        ["ElectUncleanAsync"] = (Cluster, async broker => Done(await broker.Administration.ElectUncleanAsync(Orders))),
        ["PlanRebalanceAsync"] = (Cluster, async broker => Done(await broker.Administration.PlanRebalanceAsync())),
        ["ExecuteRebalanceAsync"] = (Cluster, async broker => Done(await broker.Administration.ExecuteRebalanceAsync("plan"))),
        ["GetRebalanceAsync"] = (Cluster, async broker => Done(await broker.Administration.GetRebalanceAsync())),
        ["CancelRebalanceAsync"] = (Cluster, async broker => Done(await broker.Administration.CancelRebalanceAsync())),
        ["SetAutoRebalanceAsync"] = (Cluster, async broker => await DoneAsync(broker.Administration.SetAutoRebalanceAsync(true))),
        ["DrainBrokerAsync"] = (Cluster, async broker => Done(await broker.Administration.DrainBrokerAsync(0))),
        ["ResumeBrokerAsync"] = (Cluster, async broker => await DoneAsync(broker.Administration.ResumeBrokerAsync(0))),
        ["RemoveBrokerAsync"] = (Cluster, async broker => await DoneAsync(broker.Administration.RemoveBrokerAsync(0))),

        ["FindCoordinatorAsync"] = (Group, async broker => Done(await broker.Groups.FindCoordinatorAsync("g"))),
        ["ListGroupsAsync"] = (ErrorCode.None, async broker => Nothing(await broker.Groups.ListGroupsAsync())),
        ["ListConfiguredAsync"] = (Cluster, async broker => Done(await broker.Groups.ListConfiguredAsync())),
    };

    // Each is one SendAsync.
    private static readonly Type[] Requests = [.. typeof(IGroupRequest).Assembly.GetTypes()
        .Where(static type => type.IsClass && type.IsAssignableTo(typeof(IGroupRequest)))];

    public static TheoryData<string> Names => [.. Operations.Keys];

    public static TheoryData<string> RequestNames => [.. Requests.Select(static type => type.Name)];

    public async Task InitializeAsync()
    {
        _broker = await LocalBroker.OpenAsync(new BrokerOptions
        {
            DataDirectory = "/data",
            FileSystem = new MemoryFileSystem(tracksPowerCuts: false),
            MinFreeBytes = 0,
        });
        await _broker.CreateTopicAsync(new NewTopic("orders", 2));
        await _broker.ProduceAsync(Orders, TestBatches.Of("a"), Acks.All);
        await _broker.Groups.CommitOffsetsAsync(new OffsetCommit
        {
            GroupId = "g",
            Offsets = [new PartitionOffset("orders", 0, new CommittedOffset(1))],
        });
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public void Every_operation_of_the_broker_API_is_in_the_table() => Assert.Equal(
        new[] { typeof(IBroker), typeof(IClusterAdministration), typeof(IGroupCoordinator) }
            .SelectMany(static type => type.GetMethods(BindingFlags.Public | BindingFlags.Instance))
            .Where(static method => !method.IsSpecialName).Select(static method => method.Name).Order(StringComparer.Ordinal),
        Operations.Keys.Append(nameof(IGroupCoordinator.SendAsync)).Order(StringComparer.Ordinal));

    [Theory]
    [MemberData(nameof(RequestNames))]
    public async Task Denied_request_to_a_group_does_not_reach_the_engine(string name)
    {
        var access = new BrokerAccess(CallRecorder.Of(_broker, _calls), _broker, new SwitchedAuthorizer { Denies = true });
        Assert.Equal(Group, await ErrorOfAsync(broker => SendAsync(broker.Groups, name), access.Open(BrokerSession.InProcess).Broker));
        Assert.Empty(_calls);
    }

    [Theory]
    [MemberData(nameof(RequestNames))]
    public async Task Allowed_request_to_a_group_reaches_the_engine(string name)
    {
        var access = new BrokerAccess(CallRecorder.Of(_broker, _calls), _broker);
        Assert.NotEqual(Group, await ErrorOfAsync(broker => SendAsync(broker.Groups, name), access.Open(BrokerSession.InProcess).Broker));
        Assert.Equal([nameof(IGroupCoordinator.SendAsync)], _calls);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Denied_operation_does_not_reach_the_engine(string name)
    {
        var (expected, call) = Operations[name];
        var access = new BrokerAccess(CallRecorder.Of(_broker, _calls), _broker, new SwitchedAuthorizer { Denies = true });
        Assert.Equal(expected, await ErrorOfAsync(call, access.Open(BrokerSession.InProcess).Broker));
        Assert.Equal(expected == ErrorCode.None ? [name] : [], _calls);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Allowed_operation_reaches_the_engine(string name)
    {
        var access = new BrokerAccess(CallRecorder.Of(_broker, _calls), _broker);
        var error = await ErrorOfAsync(Operations[name].Call, access.Open(BrokerSession.InProcess).Broker);
        Assert.False(error is Topic or Group or Cluster, $"{name} answers {error}.");
        Assert.Equal([name], _calls);
    }

    [Fact]
    public async Task Denied_requests_to_a_transactional_id_do_not_reach_the_engine()
    {
        var access = new BrokerAccess(CallRecorder.Of(_broker, _calls), _broker, new SwitchedAuthorizer { Denies = true });
        var transactions = access.Open(BrokerSession.InProcess).Broker.Transactions;
        const ErrorCode denied = ErrorCode.TransactionalIdAuthorizationFailed;
        var producer = new ProducerIdentity(1, 0);
        Assert.Equal(denied, (await transactions.SendAsync(new InitTransactions
        {
            TransactionalId = "t",
            Timeout = TimeSpan.FromMinutes(1),
        })).Error);
        Assert.Equal(denied, (await transactions.SendAsync(new AddToTransaction { TransactionalId = "t", Producer = producer })).Error);
        Assert.Equal(denied, (await transactions.SendAsync(new EndTransaction
        {
            TransactionalId = "t",
            Producer = producer,
            IsCommit = true,
        })).Error);
        Assert.Equal(denied, await RefusedAsync(async () => await transactions.SendAsync(new DescribeTransaction("t"))));
        Assert.Equal(Cluster, await RefusedAsync(async () => await transactions.SendAsync(new AbortTransaction("t"))));
        Assert.Equal(denied, await RefusedAsync(async () => await transactions.FindCoordinatorAsync("t")));
        Assert.Empty(_calls);
        Assert.Empty(await transactions.ListTransactionsAsync());

        static async Task<ErrorCode> RefusedAsync(Func<Task> call) => (await Assert.ThrowsAsync<BrokerException>(call)).Code;
    }

    [Fact]
    public async Task Partition_of_a_transaction_takes_the_right_to_write_it()
    {
        var access = new BrokerAccess(CallRecorder.Of(_broker, _calls), _broker, new WriteDenied());
        var transactions = access.Open(BrokerSession.InProcess).Broker.Transactions;
        var added = await transactions.SendAsync(new AddToTransaction
        {
            TransactionalId = "t",
            Producer = new ProducerIdentity(1, 0),
            Partitions = [new TransactionPartition("orders", 0, default)],
        });
        Assert.Equal(Topic, added.Error);
        Assert.Empty(_calls);
    }

    [Fact]
    public async Task Dead_letter_topic_of_a_share_group_takes_the_right_to_write_it()
    {
        var access = new BrokerAccess(CallRecorder.Of(_broker, _calls), _broker, new WriteDenied());
        var groups = access.Open(BrokerSession.InProcess).Broker.Groups;
        var alter = new AlterShareGroup("workers") { Configs = [new ShareGroupSetting("share.dead.letter.topic", "orders")] };
        Assert.Equal(Topic, (await groups.SendAsync(alter)).Error);
        Assert.Empty(_calls);
        Assert.Equal(ErrorCode.None,
            (await groups.SendAsync(alter with { Configs = [new ShareGroupSetting("share.dead.letter.topic", "")] })).Error);
        Assert.Equal(ErrorCode.None,
            (await groups.SendAsync(alter with { Configs = [new ShareGroupSetting("share.delivery.count.limit", "7")] })).Error);
    }

    private sealed class WriteDenied : IAuthorizer
    {
        public int Version => 0;

        public bool Allows(BrokerSession session, AccessOperation operation, ResourceType type, string name) =>
            operation != AccessOperation.Write || type != ResourceType.Topic;
    }

    private static ValueTask<ErrorCode> SendAsync(IGroupCoordinator groups, string name)
    {
        var request = Sample.LeastOf(Requests.Single(type => type.Name == name));
        var result = request.GetType().GetInterfaces().Single(static type =>
            type.IsGenericType && type.GetGenericTypeDefinition() == typeof(IGroupRequest<>)).GenericTypeArguments[0];
        var send = typeof(DeniedBrokerTests).GetMethod(nameof(SendOneAsync), BindingFlags.NonPublic | BindingFlags.Static)!;
        return (ValueTask<ErrorCode>)send.MakeGenericMethod(result).Invoke(null, [groups, request])!;
    }

    private static async ValueTask<ErrorCode> SendOneAsync<TResult>(IGroupCoordinator groups, IGroupRequest<TResult> request) =>
        await groups.SendAsync(request) switch
        {
            OffsetCommitResult commit => commit.Partitions.Single().Error,
            IGroupAnswer answer => answer.Error,
            _ => ErrorCode.None,
        };

    private static async Task<ErrorCode> ErrorOfAsync(Func<IBroker, ValueTask<ErrorCode>> call, IBroker broker)
    {
        try
        {
            return await call(broker);
        }
        catch (BrokerException refused)
        {
            return refused.Code;
        }
    }

    private static ErrorCode Done<T>(T result) => ErrorCode.None;

    private static ErrorCode Nothing<T>(IReadOnlyList<T> list) => list.Count == 0 ? ErrorCode.None : ErrorCode.UnknownServerError;

    private static async ValueTask<ErrorCode> DoneAsync(ValueTask call)
    {
        await call;
        return ErrorCode.None;
    }
}
