using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Tests.Kafka.Codec;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Schemas;

namespace OrleansMq.Tests.Kafka.Transactions;

/// <summary>The requests of a transactional producer, before a scripted coordinator.</summary>
public sealed class TransactionApisTests : IAsyncLifetime
{
    private const short FindCoordinator = 10, InitProducerId = 22, AddPartitions = 24, AddOffsets = 25, EndTxn = 26, TxnOffsetCommit = 28;
    private static readonly TransactionCaller Caller = new("client 'test' at /10.0.0.2", 0, 7);

    private readonly ScriptedCoordinator _coordinator = new();
    private readonly DenyingAuthorizer _authorizer = new();
    private readonly CommitGroups _groups = new();
    private GatewayHarness _harness = null!;

    public async Task InitializeAsync() => _harness = await GatewayHarness.StartAsync(_authorizer,
        broker => new TransactionalBroker(broker, _coordinator, _groups));

    public async Task DisposeAsync() => await _harness.DisposeAsync();

    [Fact]
    public async Task New_instance_gets_the_epoch_of_its_transactional_id()
    {
        var text = await AskAsync(InitProducerId, 5, ("TransactionalId", "tx"), ("TransactionTimeoutMs", 60_000));
        Assert.Contains("ErrorCode: 0\n  ProducerId: 7\n  ProducerEpoch: 0\n", text, StringComparison.Ordinal);
        Assert.Equal(new InitTransactions { TransactionalId = "tx", Timeout = TimeSpan.FromMinutes(1), Caller = Caller },
            _coordinator.Only<InitTransactions>());
    }

    [Fact]
    public async Task Instance_that_goes_on_sends_the_identity_that_it_has()
    {
        await AskAsync(InitProducerId, 3, ("TransactionalId", "tx"), ("ProducerId", 9), ("ProducerEpoch", 4));
        Assert.Equal(new ProducerIdentity(9, 4), _coordinator.Only<InitTransactions>().Current);
    }

    [Theory]
    [InlineData("tx", 9, -1)]
    [InlineData("tx", -1, 4)]
    [InlineData(null, -1, 4)]
    [InlineData("", -1, -1)]
    public async Task Half_an_identity_and_an_empty_transactional_id_are_refused(string? id, long producer, short epoch)
    {
        var text = await AskAsync(InitProducerId, 4, ("TransactionalId", id), ("ProducerId", producer), ("ProducerEpoch", epoch));
        Assert.Contains("ErrorCode: 42\n  ProducerId: -1\n  ProducerEpoch: -1\n", text, StringComparison.Ordinal);
        Assert.Empty(_coordinator.Requests);
    }

    [Theory]
    [InlineData(InitProducerId, 3, "ErrorCode: 47\n")]
    [InlineData(InitProducerId, 4, "ErrorCode: 90\n")]
    [InlineData(AddPartitions, 1, "ErrorCode: 47\n")]
    [InlineData(AddPartitions, 2, "ErrorCode: 90\n")]
    [InlineData(AddOffsets, 1, "ErrorCode: 47\n")]
    [InlineData(AddOffsets, 2, "ErrorCode: 90\n")]
    [InlineData(EndTxn, 1, "ErrorCode: 47\n")]
    [InlineData(EndTxn, 2, "ErrorCode: 90\n")]
    [InlineData(EndTxn, 5, "ErrorCode: 90\n  ProducerId: -1\n  ProducerEpoch: -1\n")]
    [InlineData(TxnOffsetCommit, 5, "ErrorCode: 47\n")]
    public async Task Fenced_producer_gets_an_error_that_its_version_knows(short key, short version, string expected)
    {
        _coordinator.Refusal = ErrorCode.ProducerFenced;
        Assert.Contains(expected, await AskAsync(key, version, ("TransactionalId", "tx")), StringComparison.Ordinal);
        Assert.Empty(_groups.Commits);
    }

    [Fact]
    public async Task Partitions_are_added_once_with_the_ids_of_their_topics()
    {
        var text = await AskAsync(AddPartitions, 3, ("V3AndBelowTransactionalId", "tx"), ("V3AndBelowTopics", 2), ("Partitions", 2));
        Assert.Equal(5, text.Split("PartitionErrorCode: 0\n").Length);
        var asked = _coordinator.Only<AddToTransaction>();
        Assert.Equal(("tx", ScriptedCoordinator.Producer, false, false, Caller),
            (asked.TransactionalId, asked.Producer, asked.VerifyOnly, asked.RaisesEpoch, asked.Caller));
        Assert.Equal([new TransactionPartition("orders", 0, _harness.Orders)], asked.Partitions);
    }

    [Theory]
    [InlineData("orders", 2)]
    [InlineData("orders", -1)]
    [InlineData("none", 0)]
    public async Task Unknown_partition_fails_all(string topic, int partition)
    {
        var text = await AddAsync((topic, partition), ("orders", 1));
        Assert.Contains($"PartitionIndex: {partition}\n      PartitionErrorCode: 3\n", text, StringComparison.Ordinal);
        Assert.Contains("PartitionIndex: 1\n      PartitionErrorCode: 55\n", text, StringComparison.Ordinal);
        Assert.Empty(_coordinator.Requests);
    }

    [Fact]
    public async Task Topic_that_the_client_may_not_write_fails_all()
    {
        await _harness.Broker.CreateTopicAsync(new NewTopic("secret", 1));
        _authorizer.Denied = (ResourceType.Topic, "secret");
        var text = await AddAsync(("orders", 1), ("secret", 0));
        Assert.Contains("PartitionIndex: 1\n      PartitionErrorCode: 55\n", text, StringComparison.Ordinal);
        Assert.Contains("PartitionIndex: 0\n      PartitionErrorCode: 29\n", text, StringComparison.Ordinal);
        Assert.Empty(_coordinator.Requests);
    }

    [Theory]
    [InlineData(AddPartitions, 3)]
    [InlineData(AddOffsets, 4)]
    [InlineData(EndTxn, 5)]
    [InlineData(TxnOffsetCommit, 5)]
    [InlineData(InitProducerId, 5)]
    public async Task Transactional_id_that_the_client_may_not_use_is_refused(short key, short version)
    {
        _authorizer.Denied = (ResourceType.TransactionalId, "tx");
        Assert.Contains("ErrorCode: 53\n",
            await AskAsync(key, version, ("TransactionalId", "tx"), ("V3AndBelowTransactionalId", "tx"), ("Name", "none")),
            StringComparison.Ordinal);
        Assert.Empty(_coordinator.Requests);
    }

    [Fact]
    public async Task No_partitions_are_added_without_a_question()
    {
        Assert.Contains("ResultsByTopicV3AndBelow: []\n", await AskAsync(AddPartitions, 3, ("V3AndBelowTopics", 0)),
            StringComparison.Ordinal);
        Assert.Empty(_coordinator.Requests);
    }

    [Fact]
    public async Task Group_is_added_as_a_producer_without_epochs_of_transactions_adds_it()
    {
        Assert.Contains("ErrorCode: 0\n", await AskAsync(AddOffsets, 4, ("TransactionalId", "tx")), StringComparison.Ordinal);
        var asked = _coordinator.Only<AddToTransaction>();
        Assert.Equal(("tx", ScriptedCoordinator.Producer, false, false, Caller),
            (asked.TransactionalId, asked.Producer, asked.VerifyOnly, asked.RaisesEpoch, asked.Caller));
        Assert.Equal(["readers"], asked.Groups);
        Assert.Empty(asked.Partitions);
    }

    [Theory]
    [InlineData(AddOffsets, 4)]
    [InlineData(TxnOffsetCommit, 5)]
    public async Task Group_that_cannot_be_is_not_added(short key, short version)
    {
        Assert.Contains("ErrorCode: 24\n", await AskAsync(key, version, ("GroupId", "")), StringComparison.Ordinal);
        Assert.Empty(_coordinator.Requests);
    }

    [Theory]
    [InlineData(AddOffsets, 4)]
    [InlineData(TxnOffsetCommit, 5)]
    public async Task Group_that_the_client_may_not_read_is_not_added(short key, short version)
    {
        _authorizer.Denied = (ResourceType.Group, "readers");
        Assert.Contains("ErrorCode: 30\n", await AskAsync(key, version), StringComparison.Ordinal);
        Assert.Empty(_coordinator.Requests);
    }

    [Theory]
    [InlineData(0, true, false)]
    [InlineData(4, false, false)]
    [InlineData(5, true, true)]
    public async Task Transaction_is_ended_under_the_rules_of_the_version(short version, bool isCommit, bool raisesEpoch)
    {
        var text = await AskAsync(EndTxn, version, ("TransactionalId", "tx"), ("Committed", isCommit));
        Assert.Contains(raisesEpoch ? "ErrorCode: 0\n  ProducerId: 7\n  ProducerEpoch: 1\n" : "ErrorCode: 0\n", text,
            StringComparison.Ordinal);
        Assert.Equal(new EndTransaction
        {
            TransactionalId = "tx",
            Producer = ScriptedCoordinator.Producer,
            IsCommit = isCommit,
            RaisesEpoch = raisesEpoch,
            WaitsForMarkers = false,
            Caller = Caller,
        }, _coordinator.Only<EndTransaction>());
    }

    [Fact]
    public async Task Empty_transactional_id_ends_nothing()
    {
        Assert.Contains("ErrorCode: 48\n", await AskAsync(EndTxn, 3, ("TransactionalId", "")), StringComparison.Ordinal);
        Assert.Empty(_coordinator.Requests);
    }

    [Theory]
    [InlineData(0, true)]
    [InlineData(2, true)]
    [InlineData(4, true)]
    [InlineData(5, false)]
    public async Task Offsets_are_committed_with_the_number_that_the_coordinator_told(short version, bool isVerified)
    {
        _coordinator.Number = 42;
        var text = await AskAsync(TxnOffsetCommit, version, ("TransactionalId", "tx"), ("CommittedOffset", 5),
            ("CommittedMetadata", "note"), ("CommittedLeaderEpoch", 3), ("MemberId", "m"), ("GenerationId", 6), ("GroupInstanceId", "i"));
        Assert.Contains("PartitionIndex: 0\n      ErrorCode: 0\n", text, StringComparison.Ordinal);
        var asked = _coordinator.Only<AddToTransaction>();
        Assert.Equal((isVerified, !isVerified, Caller), (asked.VerifyOnly, asked.RaisesEpoch, asked.Caller));
        Assert.Equal(["readers"], asked.Groups);
        var commit = Assert.Single(_groups.Commits);
        Assert.Equal(("readers", "tx", ScriptedCoordinator.Producer, 42), (commit.GroupId, commit.TransactionalId, commit.Producer,
            commit.Number));
        Assert.Equal(version >= 3 ? (6, "m", "i") : (-1, "", null),
            (commit.GenerationIdOrMemberEpoch, commit.MemberId, commit.GroupInstanceId));
        Assert.Equal([new PartitionOffset("orders", 0, new CommittedOffset(5, version >= 2 ? 3 : -1, "note"))], commit.Offsets);
    }

    [Theory]
    [InlineData(1, ErrorCode.CoordinatorLoadInProgress, 15)]
    [InlineData(2, ErrorCode.CoordinatorLoadInProgress, 14)]
    [InlineData(3, ErrorCode.StaleMemberEpoch, 22)]
    [InlineData(3, ErrorCode.TransactionAbortable, 48)]
    [InlineData(4, ErrorCode.TransactionAbortable, 120)]
    [InlineData(5, ErrorCode.ConcurrentTransactions, 51)]
    public async Task Refusals_of_coordinator_and_group_are_answered_alike(short version, ErrorCode refusal, short expected)
    {
        (_coordinator.Refusal, _groups.Error) = (refusal, ErrorCode.None);
        Assert.Contains($"ErrorCode: {expected}\n", await AskAsync(TxnOffsetCommit, version), StringComparison.Ordinal);
        Assert.Empty(_groups.Commits);
        (_coordinator.Refusal, _groups.Error) = (ErrorCode.None, refusal);
        Assert.Contains($"ErrorCode: {expected}\n", await AskAsync(TxnOffsetCommit, version), StringComparison.Ordinal);
        Assert.Single(_groups.Commits);
    }

    [Fact]
    public async Task Offsets_of_topics_that_the_client_may_not_read_are_left_out()
    {
        _authorizer.Denied = (ResourceType.Topic, "secret");
        var text = await AskWithNamesAsync(TxnOffsetCommit, 5, "Topics", ["secret", "orders", "secret"]);
        Assert.Matches("(?s)\"secret\".*ErrorCode: 29\n.*\"orders\".*ErrorCode: 0\n.*\"secret\".*ErrorCode: 29\n", text);
        Assert.Equal("orders", Assert.Single(Assert.Single(_groups.Commits).Offsets).Topic);
    }

    [Fact]
    public async Task Only_topics_that_the_client_may_not_read_add_no_group()
    {
        _authorizer.Denied = (ResourceType.Topic, "orders");
        Assert.Contains("ErrorCode: 29\n", await AskAsync(TxnOffsetCommit, 5), StringComparison.Ordinal);
        Assert.Empty(_coordinator.Requests);
    }

    [Fact]
    public async Task Coordinator_of_a_transactional_id_is_found()
    {
        Assert.Contains("NodeId: 0\n    Host: \"10.0.0.1\"\n    Port: 9092\n    ErrorCode: 0\n",
            await AskAsync(FindCoordinator, 4, ("KeyType", 1), ("CoordinatorKeys", "tx")), StringComparison.Ordinal);
        Assert.Contains("ErrorCode: 0\n", await AskAsync(FindCoordinator, 1, ("KeyType", 1), ("Key", "tx")), StringComparison.Ordinal);
        _coordinator.Refusal = ErrorCode.CoordinatorNotAvailable;
        Assert.Contains("NodeId: -1\n    Host: \"\"\n    Port: -1\n    ErrorCode: 15\n    ErrorMessage: \"Refused by the script.\"\n",
            await AskAsync(FindCoordinator, 4, ("KeyType", 1)), StringComparison.Ordinal);
        Assert.Contains("ErrorCode: 42\n", await AskAsync(FindCoordinator, 6, ("KeyType", 2)), StringComparison.Ordinal);
        _authorizer.Denied = (ResourceType.TransactionalId, "tx");
        Assert.Contains("ErrorCode: 53\n", await AskAsync(FindCoordinator, 4, ("KeyType", 1), ("CoordinatorKeys", "tx")),
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Broker_without_transactions_refuses_them_for_good()
    {
        await using var without = await GatewayHarness.StartAsync(engine: static broker =>
            new TransactionalBroker(broker, NoTransactions.Instance));
        foreach (var (key, version) in new[] { (InitProducerId, (short)4), (AddOffsets, (short)3), (EndTxn, (short)3) })
        {
            var frame = Frames.Of(key, version, 1, ("TransactionalId", "tx"));
            Assert.Contains("ErrorCode: 53\n", MessageText.OfResponse(Schema.Response(key), version,
                (await without.AnswerAsync(frame))!, 1), StringComparison.Ordinal);
        }
        var found = MessageText.OfResponse(Schema.Response(FindCoordinator), 4,
            (await without.AnswerAsync(Frames.Of(FindCoordinator, 4, 1, ("KeyType", 1))))!, 1);
        Assert.Contains("ErrorCode: 53\n", found, StringComparison.Ordinal);
        Assert.Contains("has no transactions", found, StringComparison.Ordinal);
    }

    private async Task<string> AddAsync(params (string Topic, int Partition)[] partitions)
    {
        var values = new Queue<(string Topic, int Partition)>(partitions);
        var (topic, partition) = ("", 0);
        var frame = new MessageEncoder(new Script(AddPartitions, 3, new()
        {
            ["V3AndBelowTopics"] = () => partitions.Length,
            ["Name"] = () =>
            {
                (topic, partition) = values.Dequeue();
                return topic;
            },
            ["Partitions"] = () => partition,
        })).Request(Schema.Request(AddPartitions), 3, 1, "test");
        return MessageText.OfResponse(Schema.Response(AddPartitions), 3, (await _harness.AnswerAsync(frame))!, 1);
    }

    private async Task<string> AskWithNamesAsync(short key, short version, string list, string[] names)
    {
        var values = new Queue<string>(names);
        var frame = new MessageEncoder(new Script(key, version, new()
        {
            [list] = () => names.Length,
            ["Name"] = values.Dequeue,
        })).Request(Schema.Request(key), version, 1, "test");
        return MessageText.OfResponse(Schema.Response(key), version, (await _harness.AnswerAsync(frame))!, 1);
    }

    private async Task<string> AskAsync(short key, short version, params (string Field, object? Value)[] values) =>
        MessageText.OfResponse(Schema.Response(key), version, (await _harness.AnswerAsync(Frames.Of(key, version, 1, values)))!, 1);

    // The sample's values, except for fields with one of their own for each element.
    private sealed class Script(short key, short version, Dictionary<string, Func<object?>> fields) : IFieldValues
    {
        private readonly SampleValues _sample = new(key, version, Guid.Empty);

        public int Length(Field field, bool mayBeNull) => field.Type == "struct" && fields.TryGetValue(field.Name, out var next)
            ? (int)next()! : _sample.Length(field, mayBeNull);

        public bool IsNull(Field field) => _sample.IsNull(field);

        public object? Value(Field field, bool mayBeNull) =>
            fields.TryGetValue(field.Name, out var next) ? next() : _sample.Value(field, mayBeNull);
    }

    private sealed class DenyingAuthorizer : IAuthorizer
    {
        private int _version;
        private (ResourceType, string) _denied;

        public (ResourceType, string) Denied
        {
            get => _denied;
            set
            {
                _denied = value;
                _version++;
            }
        }

        public int Version => _version;

        public bool Allows(BrokerSession session, AccessOperation operation, ResourceType type, string name) => (type, name) != _denied;
    }

    private sealed class CommitGroups : IGroupCoordinator
    {
        public List<TransactionOffsetCommit> Commits { get; } = [];

        public ErrorCode Error { get; set; }

        public ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken = default)
        {
            var commit = Assert.IsType<TransactionOffsetCommit>(request);
            Commits.Add(commit);
            return new(request.Answer(request.Refuse(Error, "")));
        }

        public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();

        public ValueTask<IReadOnlyList<string>> ListConfiguredAsync(CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();

        public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();
    }
}
