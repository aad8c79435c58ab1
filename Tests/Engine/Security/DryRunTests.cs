using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Security;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Brokers;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Security;

/// <summary>What operators learn of rules that only warn.</summary>
public sealed class DryRunTests : IAsyncLifetime
{
    private readonly RecordedLog _log = new();
    private LocalBroker _broker = null!;
    private IBroker _alice = null!;

    public async Task InitializeAsync()
    {
        _broker = await LocalBroker.OpenAsync(new BrokerOptions
        {
            DataDirectory = "/data",
            FileSystem = new MemoryFileSystem(tracksPowerCuts: false),
            MinFreeBytes = 0,
            Log = _log,
            Security = new SecurityOptions { Authorization = AuthorizationMode.Warn },
        });
        _alice = _broker.Access.Open(new BrokerSession("User:alice", "", "", "10.0.0.7", SessionProtocol.Kafka)).Broker;
        await _broker.CreateTopicAsync(new NewTopic("orders"));
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    private long Warned(AccessOperation operation, ResourceType type) => _broker.Access.Meter.Denials.WarnedOf(operation, type);

    private async Task ProduceAsync() => Assert.Equal(ErrorCode.None,
        (await _alice.ProduceAsync(new TopicPartition("orders", 0), TestBatches.Of("a"), Acks.All)).Error);

    [Fact]
    public async Task Each_operation_that_rules_would_refuse_is_counted_and_logged_once_a_minute()
    {
        await ProduceAsync();
        await ProduceAsync();
        Assert.Equal(2, Warned(AccessOperation.Write, ResourceType.Topic));
        Assert.StartsWith("Allowed, since authorization only warns: User:alice at '10.0.0.7' (Kafka, client '') may not Write Topic "
            + "'orders'.",
            Assert.Single(_log.At(EngineLogLevel.Warning)), StringComparison.Ordinal);
        Assert.Equal(0, _broker.Access.Meter.Denials.Of(AccessOperation.Write, ResourceType.Topic));
    }

    [Fact]
    public async Task Operation_that_a_rule_allows_is_not_told_of()
    {
        await AllowAsync(AccessOperation.Write);
        await ProduceAsync();
        Assert.Empty(_log.At(EngineLogLevel.Warning));
    }

    /// <summary>Each client lists all topics again and again: lines about that would leave no room for others.</summary>
    [Fact]
    public async Task What_rules_would_leave_out_of_a_list_is_not_told_of()
    {
        Assert.Single(await _alice.ListTopicsAsync());
        Assert.Empty(_log.At(EngineLogLevel.Warning));
    }

    [Fact]
    public async Task Topic_may_be_created_by_a_rule_of_the_topic_or_of_the_cluster()
    {
        await _alice.CreateTopicAsync(new NewTopic("first"));
        Assert.Equal((1, 0), (Warned(AccessOperation.Create, ResourceType.Topic), Warned(AccessOperation.Create, ResourceType.Cluster)));
        await _broker.Security.CreateAclsAsync([new AclRule(ResourceType.Topic, AclPattern.Literal, "second", "User:alice", "*",
            AccessOperation.Create, AclPermission.Allow)]);
        await _alice.CreateTopicAsync(new NewTopic("second"));
        await _broker.Security.CreateAclsAsync([new AclRule(ResourceType.Cluster, AclPattern.Literal, ResourceTypes.Cluster, "User:alice",
            "*", AccessOperation.Create, AclPermission.Allow)]);
        await _alice.CreateTopicAsync(new NewTopic("third"));
        Assert.Equal((1, 0), (Warned(AccessOperation.Create, ResourceType.Topic), Warned(AccessOperation.Create, ResourceType.Cluster)));
    }

    private Task AllowAsync(AccessOperation operation) => _broker.Security.CreateAclsAsync([new AclRule(ResourceType.Topic,
        AclPattern.Literal, "orders", "User:alice", "*", operation, AclPermission.Allow)]).AsTask();
}
