using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Partitions;
using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Tests.Kafka.Codec;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Shared;
using LogTransactions = OrleansMq.Tests.Shared.LoggedTransactions;

namespace OrleansMq.Tests.Kafka.Transactions;

/// <summary>What operators see of transactions, and how they end them.</summary>
public sealed class TransactionToolsTests : IAsyncLifetime
{
    private const short WriteTxnMarkers = 27, DescribeProducers = 61, DescribeTransactions = 65, ListTransactions = 66;
    private const long Id = 7;

    private readonly ScriptedCoordinator _coordinator = new();
    private readonly ClusterDenier _authorizer = new();
    private GatewayHarness _harness = null!;

    public async Task InitializeAsync() => _harness = await GatewayHarness.StartAsync(_authorizer,
        broker => new TransactionalBroker(broker, _coordinator));

    public async Task DisposeAsync() => await _harness.DisposeAsync();

    [Fact]
    public async Task Producers_of_a_partition_are_described_with_what_they_have_open()
    {
        var now = _harness.Time.GetUtcNow().ToUnixTimeMilliseconds();
        await _harness.Broker.ProduceAsync(new TopicPartition("orders", 0), TestBatches.From(new ProducerIdentity(3, 2), 0, "a", "b"),
            Acks.All);
        LogTransactions.Append(Partition(), now, Id, 0, "c");
        await LogTransactions.EndAsync(Partition(), Id, isCommit: true, number: 1);
        LogTransactions.Append(Partition(), now, Id, 1, "d", "e");
        await Partition().Appends.AppendMarkerAsync(9, 4, new TransactionMarker(false, 5), raisesEpoch: false);

        var text = await AskAsync(DescribeProducers, 0);
        Assert.Contains("ErrorCode: 0\n      ErrorMessage: null\n"
            + Described(0, 3, 2, 1, TestBatches.FirstTimestamp + 1000, -1, -1)
            + Described(1, Id, 0, 2, now, 3, 6)
            + Described(2, 9, 4, -1, now, 5, -1), text, StringComparison.Ordinal);
        Assert.DoesNotContain("ActiveProducers[3]", text, StringComparison.Ordinal);
        Assert.Contains("ActiveProducers: []\n", await AskAsync(DescribeProducers, 0, ("PartitionIndexes", 1L)), StringComparison.Ordinal);

        static string Described(int index, long id, int epoch, int sequence, long timestamp, int coordinator, long start) =>
            $"      ActiveProducers[{index}]\n        ProducerId: {id}\n        ProducerEpoch: {epoch}\n        LastSequence: {sequence}\n"
            + $"        LastTimestamp: {timestamp}\n        CoordinatorEpoch: {coordinator}\n        CurrentTxnStartOffset: {start}\n";
    }

    [Theory]
    [InlineData("none", 0)]
    [InlineData("orders", 2)]
    public async Task Producers_of_an_unknown_partition_are_an_error_with_a_message(string topic, int partition)
    {
        var text = await AskAsync(DescribeProducers, 0, ("Name", topic), ("PartitionIndexes", (long)partition));
        Assert.Contains("ErrorCode: 3\n", text, StringComparison.Ordinal);
        Assert.DoesNotContain("ErrorMessage: null\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Partition_that_is_named_twice_is_refused_each_time()
    {
        var text = await AskAsync(DescribeProducers, 0, ("PartitionIndexes", 2));
        Assert.Equal(2, text.Split("ErrorCode: 42\n").Length - 1);
        Assert.Equal(2, text.Split("more than once").Length - 1);
        Assert.DoesNotContain("ErrorCode: 0\n", text, StringComparison.Ordinal);
        // Also where its topic is.
        text = await AskAsync(DescribeProducers, 0, ("Topics", 2));
        Assert.Equal(2, text.Split("ErrorCode: 42\n").Length - 1);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Operator_aborts_a_transaction_whose_coordinator_has_forgotten_it(short version)
    {
        LogTransactions.Append(Partition(), 1000, Id, 0, "c");
        Assert.Equal(2, Partition().LastStableOffset);
        // Under transaction.version 2 a marker has the next epoch.
        var text = await AskAsync(WriteTxnMarkers, version, ("ProducerEpoch", version - 1));
        Assert.Contains("Markers[0]\n    ProducerId: 7\n    Topics[0]\n      Name: \"orders\"\n      Partitions[0]\n"
            + "        PartitionIndex: 0\n        ErrorCode: 0\n", text, StringComparison.Ordinal);
        Assert.Equal((4, 4), (Partition().LastStableOffset, Partition().LogEndOffset));
        using var read = await Partition().ReadAsync(new FetchRequest(new TopicPartition("orders", 0), 0)
        {
            Isolation = IsolationLevel.ReadCommitted,
        });
        Assert.Equal([new AbortedTransaction(Id, 2, 3, 4)], read.Aborted);
    }

    [Fact]
    public async Task Marker_without_a_newer_epoch_is_refused_where_each_transaction_has_one()
    {
        LogTransactions.Append(Partition(), 1000, Id, 0, "c");
        Assert.Contains("ErrorCode: 47\n", await AskAsync(WriteTxnMarkers, 2), StringComparison.Ordinal);
        Assert.Contains("ErrorCode: 0\n", await AskAsync(WriteTxnMarkers, 2, ("TransactionVersion", 1), ("TransactionResult", true)),
            StringComparison.Ordinal);
        Assert.Contains("ErrorCode: 52\n", await AskAsync(WriteTxnMarkers, 1, ("CoordinatorEpoch", 1)), StringComparison.Ordinal);
        Assert.Equal(4, Partition().LogEndOffset);
    }

    [Theory]
    [InlineData(-1, 0)]
    [InlineData(Id, -1)]
    [InlineData(LetterProducers.FirstId, 0)]
    public async Task Producer_that_has_no_transactions_gets_no_marker(long producer, short epoch)
    {
        Assert.Contains("ErrorCode: 42\n", await AskAsync(WriteTxnMarkers, 1, ("ProducerId", producer), ("ProducerEpoch", epoch)),
            StringComparison.Ordinal);
        Assert.Equal(2, Partition().LogEndOffset);
    }

    [Theory]
    [InlineData(int.MaxValue, 42)]
    [InlineData(1 << 30, 42)]
    [InlineData(-1, 42)]
    [InlineData((1 << 30) - 1, 0)]
    [InlineData(0, 0)]
    public async Task Marker_has_an_epoch_that_the_coordinator_can_raise_its_own_above(int epoch, int error)
    {
        Assert.Contains($"ErrorCode: {error}\n", await AskAsync(WriteTxnMarkers, 1, ("CoordinatorEpoch", (long)epoch)),
            StringComparison.Ordinal);
        Assert.Equal(error == 0 ? 3 : 2, Partition().LogEndOffset);
    }

    [Fact]
    public async Task More_markers_than_are_appended_at_once_are_answered_one_by_one()
    {
        var text = await AskAsync(WriteTxnMarkers, 1, ("PartitionIndexes", 1000));
        Assert.Equal(1000, text.Split("ErrorCode: 0\n").Length - 1);
        Assert.Equal(1002, Partition().LogEndOffset);
    }

    [Fact]
    public async Task Marker_needs_alter_on_the_cluster_and_nothing_of_the_topic()
    {
        _authorizer.Denied = ResourceType.Topic;
        Assert.Contains("ErrorCode: 0\n", await AskAsync(WriteTxnMarkers, 1), StringComparison.Ordinal);
        _authorizer.Denied = ResourceType.Cluster;
        Assert.Contains("ErrorCode: 31\n", await AskAsync(WriteTxnMarkers, 1), StringComparison.Ordinal);
        Assert.Equal(3, Partition().LogEndOffset);
    }

    [Theory]
    [InlineData("none", 0, 3)]
    [InlineData("orders", 9, 3)]
    [InlineData("__schedules", 0, 29)]
    public async Task Marker_for_an_unknown_or_internal_partition_is_refused(string topic, int partition, int error) =>
        Assert.Contains($"ErrorCode: {error}\n",
            await AskAsync(WriteTxnMarkers, 1, ("Name", topic), ("PartitionIndexes", (long)partition)), StringComparison.Ordinal);

    [Fact]
    public async Task Transaction_is_described_with_the_topics_that_the_client_may_describe()
    {
        var text = await AskAsync(DescribeTransactions, 0, ("TransactionalIds", "tx"));
        Assert.Contains("""
              TransactionStates[0]
                ErrorCode: 0
                TransactionalId: "tx"
                TransactionState: "Ongoing"
                TransactionTimeoutMs: 60000
                TransactionStartTimeMs: 1767225600000
                ProducerId: 7
                ProducerEpoch: 0
                Topics[0]
                  Topic: "orders"
                  Partitions: [0, 1]
                Topics[1]
                  Topic: "other"
                  Partitions: [0]

            """.ReplaceLineEndings("\n"), text, StringComparison.Ordinal);
        Assert.Equal(new DescribeTransaction("tx"), _coordinator.Only<DescribeTransaction>());
        _authorizer.Denied = ResourceType.Topic;
        Assert.Contains("Topics: []\n", await AskAsync(DescribeTransactions, 0), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Transactional_id_that_is_not_known_is_described_by_an_error()
    {
        _coordinator.Refusal = ErrorCode.TransactionalIdNotFound;
        Assert.Contains("ErrorCode: 105\n    TransactionalId: \"gone\"\n    TransactionState: \"\"\n",
            await AskAsync(DescribeTransactions, 0, ("TransactionalIds", "gone")), StringComparison.Ordinal);
        Assert.Contains("ErrorCode: 42\n", await AskAsync(DescribeTransactions, 0, ("TransactionalIds", "")), StringComparison.Ordinal);
        Assert.Single(_coordinator.Requests);
    }

    [Theory]
    [InlineData("all")]
    [InlineData("Ongoing", "old", "new")]
    [InlineData("CompleteCommit", "done")]
    [InlineData("ongoing")]
    [InlineData("Dead")]
    public async Task Transactions_are_listed_by_state(string state, params string[] expected)
    {
        List();
        var text = state == "all" ? await AskAsync(ListTransactions, 0, ("StateFilters", 0), ("ProducerIdFilters", 0))
            : await AskAsync(ListTransactions, 0, ("StateFilters", state), ("ProducerIdFilters", 0));
        Assert.Equal(state == "all" ? ["old", "new", "done"] : expected, Ids(text));
        Assert.Contains(state == "ongoing" ? "UnknownStateFilters: [\"ongoing\"]\n" : "UnknownStateFilters: []\n", text,
            StringComparison.Ordinal);
    }

    [Fact]
    public async Task Transactions_are_listed_by_producer()
    {
        List();
        Assert.Equal(["new"], Ids(await AskAsync(ListTransactions, 0, ("StateFilters", 0), ("ProducerIdFilters", 2L))));
    }

    [Theory]
    [InlineData(-1, "old", "new", "done")]
    [InlineData(0, "old", "new")]
    [InlineData(999, "old", "new")]
    [InlineData(1000, "old")]
    [InlineData(60_000)]
    public async Task Transactions_are_listed_that_are_open_for_longer(long milliseconds, params string[] expected)
    {
        List();
        Assert.Equal(expected, Ids(await AskAsync(ListTransactions, 1, ("StateFilters", 0), ("ProducerIdFilters", 0),
            ("DurationFilter", milliseconds))));
    }

    [Theory]
    [InlineData(null, "old", "new", "done")]
    [InlineData("", "old", "new", "done")]
    [InlineData("o.*|n..", "old", "new")]
    [InlineData("o")]
    public async Task Transactions_are_listed_whose_whole_id_matches(string? pattern, params string[] expected)
    {
        List();
        Assert.Equal(expected, Ids(await AskAsync(ListTransactions, 2, ("StateFilters", 0), ("ProducerIdFilters", 0),
            ("DurationFilter", -1), ("TransactionalIdPattern", pattern))));
    }

    [Theory]
    [InlineData("(")]
    [InlineData("(?=a)b")]
    public async Task Pattern_that_is_not_one_is_refused(string pattern) => Assert.Contains("ErrorCode: 128\n",
        await AskAsync(ListTransactions, 2, ("TransactionalIdPattern", pattern)), StringComparison.Ordinal);

    [Fact]
    public async Task List_that_cannot_be_made_is_an_error()
    {
        _coordinator.Refusal = ErrorCode.CoordinatorNotAvailable;
        Assert.Contains("ErrorCode: 15\n", await AskAsync(ListTransactions, 0), StringComparison.Ordinal);
    }

    private void List()
    {
        var now = _harness.Time.GetUtcNow();
        _coordinator.Listings =
        [
            new("old", 1, TransactionPhase.Ongoing, now.AddMinutes(-1)),
            new("new", 2, TransactionPhase.Ongoing, now.AddSeconds(-1)),
            new("done", 3, TransactionPhase.CompleteCommit, null),
        ];
    }

    private static string[] Ids(string text) =>
        [.. text.Split("TransactionalId: \"").Skip(1).Select(static part => part[..part.IndexOf('"', StringComparison.Ordinal)])];

    private Partition Partition()
    {
        Assert.True(_harness.Broker.TryGet(new TopicPartition("orders", 0), out var partition));
        return partition;
    }

    private async Task<string> AskAsync(short key, short version, params (string Field, object? Value)[] values) =>
        MessageText.OfResponse(Schema.Response(key), version, (await _harness.AnswerAsync(Frames.Of(key, version, 1, values)))!, 1);

    private sealed class ClusterDenier : IAuthorizer
    {
        private int _version;
        private ResourceType? _denied;

        public ResourceType? Denied
        {
            set
            {
                _denied = value;
                _version++;
            }
        }

        public int Version => _version;

        public bool Allows(BrokerSession session, AccessOperation operation, ResourceType type, string name) => type != _denied;
    }
}
