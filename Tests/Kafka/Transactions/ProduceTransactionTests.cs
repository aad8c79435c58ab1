using System.Buffers.Binary;
using System.Text;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Apis;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Partitions;
using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Tests.Kafka.Codec;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Kafka.Schemas;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Transactions;

/// <summary>Produce requests with batches of transactions, over real partitions and a scripted coordinator.</summary>
public sealed class ProduceTransactionTests
{
    private const short Produce = 0;
    private const long Id = 7;
    private readonly ScriptedCoordinator _coordinator = new();

    [Theory]
    [InlineData(3, true)]
    [InlineData(11, true)]
    [InlineData(12, false)]
    [InlineData(13, false)]
    public async Task First_batch_asks_the_coordinator_and_the_second_does_not(short version, bool isVerified)
    {
        await using var harness = await StartAsync();
        Assert.Contains("ErrorCode: 0\n", await AskAsync(harness, version, Batch(0)), StringComparison.Ordinal);
        Assert.True(harness.HoldsBack);
        var asked = _coordinator.Only<AddToTransaction>();
        Assert.Equal(("tx", new ProducerIdentity(Id, 0), isVerified, !isVerified),
            (asked.TransactionalId, asked.Producer, asked.VerifyOnly, asked.RaisesEpoch));
        Assert.Equal([new TransactionPartition("orders", 0, harness.Orders)], asked.Partitions);
        Assert.Empty(asked.Groups);
        Assert.Equal(new TransactionCaller("client 'test' at /10.0.0.2", 0, harness.Number), asked.Caller);

        Assert.Contains("BaseOffset: 3\n", await AskAsync(harness, version, Batch(1)), StringComparison.Ordinal);
        Assert.False(harness.HoldsBack);
        Assert.Single(_coordinator.Requests);
        var partition = Partition(harness);
        Assert.Equal((2, 4), (partition.LastStableOffset, partition.HighWatermark));
    }

    [Theory]
    [InlineData(10, ErrorCode.InvalidTxnState)]
    [InlineData(11, ErrorCode.TransactionAbortable)]
    [InlineData(12, ErrorCode.TransactionAbortable)]
    public async Task Marker_between_the_coordinators_answer_and_the_append_refuses_the_batch(short version, ErrorCode expected)
    {
        await using var harness = await StartAsync();
        _coordinator.Before = _ => EndAsync(harness, number: 1);
        Assert.Contains($"ErrorCode: {(short)expected}\n", await AskAsync(harness, version, Batch(0)), StringComparison.Ordinal);
        var partition = Partition(harness);
        Assert.Equal((3, 3), (partition.LastStableOffset, partition.HighWatermark));

        (_coordinator.Number, _coordinator.Before) = (2, static _ => Task.CompletedTask);
        Assert.Contains("ErrorCode: 0\n", await AskAsync(harness, version, Batch(0)), StringComparison.Ordinal);
        Assert.Equal(3, partition.LastStableOffset);
    }

    [Theory]
    [InlineData(10, ErrorCode.InvalidTxnState)]
    [InlineData(11, ErrorCode.TransactionAbortable)]
    [InlineData(12, ErrorCode.TransactionAbortable)]
    public async Task Marker_right_before_the_append_of_a_batch_that_was_not_verified_refuses_it(short version, ErrorCode expected)
    {
        await using var harness = await StartAsync();
        await AskAsync(harness, version, Batch(0));
        var partition = Partition(harness);
        // Whoever appends first has the turn. The marker is behind it, and the batch behind the marker.
        var (first, second) = (new AppendBurst(), new AppendBurst());
        var plain = partition.AppendAsync(TestBatches.Of("plain"), Acks.All, mayWrite: true, burst: first);
        var marker = partition.Appends.AppendMarkerAsync(Id, 0, new TransactionMarker(true, 0, 1), raisesEpoch: false);
        Assert.True(partition.IsInTransaction(Id, 0));
        var answer = AskAsync(harness, version, Batch(1), second);
        first.Run();
        second.Run();
        Assert.Equal((3, 4), ((await plain).BaseOffset, (await marker).BaseOffset));
        Assert.Contains($"ErrorCode: {(short)expected}\n", await answer, StringComparison.Ordinal);
        Assert.Single(_coordinator.Requests);
        Assert.Equal(5, partition.LogEndOffset);
    }

    [Theory]
    [InlineData(ErrorCode.CoordinatorLoadInProgress, ErrorCode.NotEnoughReplicas, ErrorCode.NotEnoughReplicas)]
    [InlineData(ErrorCode.CoordinatorNotAvailable, ErrorCode.NotEnoughReplicas, ErrorCode.NotEnoughReplicas)]
    [InlineData(ErrorCode.NotCoordinator, ErrorCode.NotEnoughReplicas, ErrorCode.NotEnoughReplicas)]
    [InlineData(ErrorCode.RequestTimedOut, ErrorCode.NotEnoughReplicas, ErrorCode.NotEnoughReplicas)]
    [InlineData(ErrorCode.ConcurrentTransactions, ErrorCode.NotEnoughReplicas, ErrorCode.ConcurrentTransactions)]
    [InlineData(ErrorCode.TransactionAbortable, ErrorCode.InvalidTxnState, ErrorCode.TransactionAbortable)]
    [InlineData(ErrorCode.ProducerFenced, ErrorCode.InvalidProducerEpoch, ErrorCode.InvalidProducerEpoch)]
    [InlineData(ErrorCode.InvalidProducerIdMapping, ErrorCode.InvalidProducerIdMapping, ErrorCode.InvalidProducerIdMapping)]
    public async Task Refusal_of_the_coordinator_refuses_the_batch(ErrorCode refusal, ErrorCode before, ErrorCode since)
    {
        await using var harness = await StartAsync();
        _coordinator.Refusal = refusal;
        foreach (var (version, expected) in new[] { ((short)10, before), ((short)12, since) })
        {
            var answer = await AskAsync(harness, version, Batch(0));
            Assert.Contains($"ErrorCode: {(short)expected}\n", answer, StringComparison.Ordinal);
            Assert.Contains("ErrorMessage: \"Refused by the script.\"\n", answer, StringComparison.Ordinal);
        }
        Assert.Equal(2, Partition(harness).LogEndOffset);
    }

    [Fact]
    public async Task Broker_that_fails_to_ask_has_the_batch_sent_again()
    {
        await using var harness = await StartAsync();
        _coordinator.Before = static _ => throw new BrokerException(ErrorCode.BrokerNotAvailable, "Its broker is gone.");
        Assert.Contains("ErrorCode: 19\n", await AskAsync(harness, 12, Batch(0)), StringComparison.Ordinal);
        Assert.Equal(2, Partition(harness).LogEndOffset);
    }

    [Theory]
    [InlineData(11, ErrorCode.None)]
    [InlineData(12, ErrorCode.OutOfOrderSequenceNumber)]
    public async Task Unknown_producer_begins_at_sequence_zero_where_each_transaction_has_an_epoch(short version, ErrorCode expected)
    {
        await using var harness = await StartAsync();
        Assert.Contains($"ErrorCode: {(short)expected}\n", await AskAsync(harness, version, Batch(5)), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Batches_of_several_partitions_are_asked_for_at_once_and_those_of_open_ones_not_at_all()
    {
        await using var harness = await StartAsync();
        await AskAsync(harness, 12, Batch(0));
        await harness.Broker.CreateTopicAsync(new NewTopic("more", 1));
        var answer = await SendAsync(harness, 12, ("orders", 0, Batch(1)), ("orders", 1, Batch(0)), ("more", 0, Batch(0)));
        Assert.Equal(4, answer.Split("\n      ErrorCode: 0\n").Length);
        var asked = Assert.IsType<AddToTransaction>(_coordinator.Requests[1]);
        Assert.Equal([new("orders", 1, harness.Orders), new("more", 0, harness.Broker.Metadata.Image.FindServed("more")!.TopicId)],
            asked.Partitions);
        Assert.Equal(2, _coordinator.Requests.Count);
        Assert.All(new[] { ("orders", 0), ("orders", 1), ("more", 0) }, at =>
            Assert.True(Partition(harness, at.Item1, at.Item2).IsInTransaction(Id, 0)));
    }

    [Fact]
    public async Task Refused_coordinator_leaves_batches_of_open_partitions_appended()
    {
        await using var harness = await StartAsync();
        await AskAsync(harness, 12, Batch(0));
        _coordinator.Refusal = ErrorCode.ProducerFenced;
        var answer = await SendAsync(harness, 12, ("orders", 1, Batch(0)), ("orders", 0, Batch(1)));
        Assert.Matches("(?s)Index: 1\n      ErrorCode: 47\n.*Index: 0\n      ErrorCode: 0\n      BaseOffset: 3\n", answer);
        Assert.Equal(0, Partition(harness, "orders", 1).LogEndOffset);
    }

    [Fact]
    public async Task Batch_of_a_transaction_without_a_transactional_id_is_refused()
    {
        await using var harness = await StartAsync();
        Assert.Contains("ErrorCode: 53\n", await AskAsync(harness, 9, Batch(0), transactionalId: null), StringComparison.Ordinal);
        Assert.Empty(_coordinator.Requests);
        Assert.Equal(2, Partition(harness).LogEndOffset);
    }

    [Fact]
    public async Task Empty_transactional_id_is_refused()
    {
        await using var harness = await StartAsync();
        Assert.Contains("ErrorCode: 42\n", await AskAsync(harness, 9, Batch(0), transactionalId: ""), StringComparison.Ordinal);
        Assert.Empty(_coordinator.Requests);
    }

    [Fact]
    public async Task Transactional_id_that_the_client_may_not_use_is_refused_also_where_the_transaction_is_open()
    {
        var authorizer = new WithoutTransactionalIds();
        await using var harness = await StartAsync(authorizer);
        await AskAsync(harness, 12, Batch(0));
        authorizer.Denies = true;
        Assert.Contains("ErrorCode: 53\n", await AskAsync(harness, 12, Batch(1)), StringComparison.Ordinal);
        Assert.Equal(3, Partition(harness).LogEndOffset);
    }

    [Theory]
    [InlineData(Id + 1, 0)]
    [InlineData(Id, 1)]
    public async Task Batches_of_several_producers_in_one_request_are_refused(long producer, short epoch)
    {
        await using var harness = await StartAsync();
        var answer = await SendAsync(harness, 12, ("orders", 0, Batch(0)), ("orders", 1, Batch(0, producer, epoch)));
        Assert.Equal(3, answer.Split("ErrorCode: 49\n").Length);
        Assert.Empty(_coordinator.Requests);
        Assert.Equal((2, 0), (Partition(harness).LogEndOffset, Partition(harness, "orders", 1).LogEndOffset));
    }

    [Fact]
    public async Task Batch_of_a_transaction_without_a_producer_is_refused_without_a_question()
    {
        await using var harness = await StartAsync();
        Assert.Contains("ErrorCode: 87\n", await AskAsync(harness, 12, Batch(-1, -1, -1)), StringComparison.Ordinal);
        Assert.Empty(_coordinator.Requests);
    }

    [Fact]
    public async Task Batch_outside_of_a_transaction_is_appended_whatever_id_its_request_has()
    {
        await using var harness = await StartAsync();
        Assert.Contains("BaseOffset: 2\n", await AskAsync(harness, 12, TestBatches.Of("plain")), StringComparison.Ordinal);
        Assert.False(harness.HoldsBack);
        Assert.Empty(_coordinator.Requests);
    }

    [Fact]
    public async Task Batch_that_the_gateway_refuses_is_not_asked_for()
    {
        await using var harness = await StartAsync();
        var frame = Frames.Of(Produce, 12, 1, ("TransactionalId", "tx"), ("Records", Batch(0)), ("Acks", 5));
        Assert.Contains("ErrorCode: 21\n", await ReadAsync(harness, 12, frame), StringComparison.Ordinal);
        Assert.Empty(_coordinator.Requests);
    }

    [Fact]
    public async Task Pipelined_batches_wait_for_the_first_ones_question_and_keep_their_order()
    {
        var answers = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _coordinator.Before = _ =>
        {
            asked.TrySetResult();
            return answers.Task;
        };
        await using var server = await KafkaServer.StartAsync(wrap: broker => new TransactionalBroker(broker, _coordinator));
        await server.Broker.CreateTopicAsync(new NewTopic("orders", 1));
        using var client = await server.ConnectAsync();
        var frames = new MemoryStream();
        for (var sequence = 0; sequence < 5; sequence++)
        {
            var frame = Frames.Of(Produce, 12, 100 + sequence, ("TransactionalId", "tx"), ("Records", Batch(sequence)));
            frames.Write(BitConverter.GetBytes(BinaryPrimitives.ReverseEndianness(frame.Length)));
            frames.Write(frame);
        }
        await client.SendRawAsync(frames.ToArray());
        await asked.Task.WaitAsync(KafkaServer.Patience);
        Assert.True(server.Broker.TryGet(new TopicPartition("orders", 0), out var partition));
        Assert.Equal(0, partition.LogEndOffset);
        answers.SetResult();
        for (var sequence = 0; sequence < 5; sequence++)
        {
            var answer = MessageText.OfResponse(Schema.Response(Produce), 12, (await client.ReceiveAsync())!, 100 + sequence);
            Assert.Contains($"ErrorCode: 0\n      BaseOffset: {sequence}\n", answer, StringComparison.Ordinal);
        }
        Assert.Single(_coordinator.Requests);
        Assert.Empty(server.Log.Lines);
    }

    [Fact]
    public async Task Later_connection_has_a_higher_number()
    {
        await using var server = await KafkaServer.StartAsync(wrap: broker => new TransactionalBroker(broker, _coordinator));
        await server.Broker.CreateTopicAsync(new NewTopic("orders", 1));
        for (short epoch = 0; epoch < 3; epoch++)
        {
            using var client = await server.ConnectAsync();
            await client.SendAsync(Frames.Of(Produce, 12, 1, ("TransactionalId", "tx"), ("Records", Batch(0, Id + epoch))));
            Assert.NotNull(await client.ReceiveAsync());
        }
        var callers = _coordinator.Requests.Cast<AddToTransaction>().Select(static asked => asked.Caller).ToArray();
        Assert.Equal(3, callers.Length);
        Assert.True(callers[0].Connection < callers[1].Connection && callers[1].Connection < callers[2].Connection);
        Assert.All(callers, static caller => Assert.Equal(0, caller.BrokerId));
    }

    private Task<GatewayHarness> StartAsync(IAuthorizer? authorizer = null) =>
        GatewayHarness.StartAsync(authorizer, broker => new TransactionalBroker(broker, _coordinator));

    private static Partition Partition(GatewayHarness harness, string topic = "orders", int number = 0)
    {
        Assert.True(harness.Broker.TryGet(new TopicPartition(topic, number), out var partition));
        return partition;
    }

    private static async Task EndAsync(GatewayHarness harness, long number) => Assert.Equal(ErrorCode.None,
        (await Partition(harness).Appends.AppendMarkerAsync(Id, 0, new TransactionMarker(true, 0, number), raisesEpoch: false)).Error);

    private static byte[] Batch(int sequence, long producer = Id, short epoch = 0)
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(TestBatches.FirstTimestamp, "k"u8, true, Encoding.UTF8.GetBytes($"v{sequence}"), true);
        builder.SetProducer(producer, epoch, sequence, transactional: true);
        return builder.Build().ToArray();
    }

    private static Task<string> AskAsync(GatewayHarness harness, short version, byte[] records, AppendBurst? burst = null,
        string? transactionalId = "tx")
    {
        var frame = Frames.Of(Produce, version, 1, ("TransactionalId", transactionalId), ("Records", records),
            ("TopicId", harness.Orders));
        return ReadAsync(harness, version, frame, burst);
    }

    private static async Task<string> ReadAsync(GatewayHarness harness, short version, byte[] frame, AppendBurst? burst = null)
    {
        var request = ApiTable.Decode(frame);
        Assert.True(request.Outcome == DecodeOutcome.Decoded, request.Fault);
        return MessageText.OfResponse(Schema.Response(Produce), version, (await harness.AnswerAsync(request, burst))!, 1);
    }

    private static async Task<string> SendAsync(GatewayHarness harness, short version,
        params (string Topic, int Partition, byte[] Records)[] batches)
    {
        var request = new ProduceRequest("tx", -1, [.. batches.Select(static batch =>
            new ProduceTopic(batch.Topic, Guid.Empty, [new ProducePartition(batch.Partition, batch.Records)]))]);
        var api = ApiTable.All.OfType<ProduceApi>().Single();
        var decoded = new DecodedRequest(DecodeOutcome.Decoded, api, Produce, version, 1, "client", request, null, 0);
        return MessageText.OfResponse(Schema.Response(Produce), version, (await harness.AnswerAsync(decoded))!, 1);
    }

    private sealed class WithoutTransactionalIds : IAuthorizer
    {
        public bool Denies { get; set; }

        public int Version => 1;

        public bool Allows(BrokerSession session, AccessOperation operation, ResourceType type, string name) =>
            !Denies || type != ResourceType.TransactionalId;
    }
}
