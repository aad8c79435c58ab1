using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Storage;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Access;

/// <summary>Partitions opened by sessions: authorized once a version, counted once a record, without an allocation.</summary>
public sealed class OpenedPartitionTests : IAsyncLifetime
{
    private const int Rounds = 1000;
    private static readonly TopicPartition Orders = new("orders", 0);
    private readonly SwitchedAuthorizer _authorizer = new();
    private readonly AccessMeter _meter = new();
    private LocalBroker _broker = null!;
    private SessionAccess _session = null!;

    public async Task InitializeAsync()
    {
        _broker = await LocalBroker.OpenAsync(new BrokerOptions
        {
            DataDirectory = "/data",
            FileSystem = new MemoryFileSystem(tracksPowerCuts: false),
            MinFreeBytes = 0,
            Authorizer = _authorizer,
            Meter = _meter,
        });
        await _broker.CreateTopicAsync(new NewTopic("orders", 2));
        _session = _broker.Access.Open(BrokerSession.InProcess);
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public void Decision_is_cached_until_the_version_changes()
    {
        for (var round = 0; round < Rounds; round++)
            Assert.True(TryOpen(AccessOperation.Write, out _));
        Assert.Equal(1, _authorizer.Decisions);
        Assert.True(TryOpen(AccessOperation.Read, out _));
        Assert.Equal(2, _authorizer.Decisions);

        _authorizer.Denies = true;
        Assert.False(TryOpen(AccessOperation.Write, out var refusal));
        Assert.Equal(ErrorCode.TopicAuthorizationFailed, refusal);
        _authorizer.Denies = false;
        Assert.True(TryOpen(AccessOperation.Write, out _));
        Assert.Equal(4, _authorizer.Decisions);
    }

    [Fact]
    public async Task Place_of_what_the_session_has_made_needs_no_rule_of_the_cluster()
    {
        _authorizer.Denies = true;
        Assert.Equal(ErrorCode.ClusterAuthorizationFailed, (await Assert.ThrowsAsync<BrokerException>(async () =>
            await _session.Broker.Administration.ReassignPartitionAsync(Orders, [2]))).Code);
        // The broker's own refusal: there is no other.
        Assert.Contains("cannot be moved", (await Assert.ThrowsAsync<BrokerException>(async () =>
            await _session.PlaceNewAsync(Orders, [2], CancellationToken.None))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Refusal_does_not_reveal_whether_a_topic_exists()
    {
        _authorizer.Denies = true;
        Assert.False(_session.TryOpen(new TopicPartition("unknown", 0), Guid.Empty, AccessOperation.Read, out _, out var refusal));
        Assert.Equal(ErrorCode.TopicAuthorizationFailed, refusal);
        _authorizer.Denies = false;
        Assert.False(_session.TryOpen(new TopicPartition("unknown", 0), Guid.Empty, AccessOperation.Read, out _, out refusal));
        Assert.Equal(ErrorCode.None, refusal);
    }

    [Fact]
    public void Topic_with_another_id_is_not_opened() =>
        Assert.False(_session.TryOpen(Orders, Guid.NewGuid(), AccessOperation.Read, out _, out _));

    [Fact]
    public async Task Each_record_is_counted_once_through_each_door()
    {
        await _session.Broker.ProduceAsync(Orders, TestBatches.Of("a", "b"), Acks.All);
        AssertCounts(recordsIn: 2, recordsOut: 0, refused: 0);
        Assert.True(_session.TryOpen(Orders, Guid.Empty, AccessOperation.Write, out var writing, out _));
        var batch = TestBatches.Of("c");
        Assert.Equal(ErrorCode.None, (await writing.AppendAsync(batch, Acks.All)).Error);
        AssertCounts(recordsIn: 3, recordsOut: 0, refused: 0);
        batch[^1] ^= 1;
        Assert.Equal(ErrorCode.CorruptMessage, (await writing.AppendAsync(batch, Acks.All)).Error);
        AssertCounts(recordsIn: 3, recordsOut: 0, refused: 1);

        using var fetched = await _session.Broker.FetchAsync(new FetchRequest(Orders, 0));
        AssertCounts(recordsIn: 3, recordsOut: 3, refused: 1);
        Assert.Equal(fetched.Length, _meter.Topics.Of("orders").BytesOut);
        Assert.True(_session.TryOpen(Orders, Guid.Empty, AccessOperation.Read, out var reading, out _));
        using var slice = await reading.ReadAsync(new FetchRequest(Orders, 0) { AllowsSlice = true });
        AssertCounts(recordsIn: 3, recordsOut: 3, refused: 1);
        reading.Delivered(slice);
        AssertCounts(recordsIn: 3, recordsOut: 6, refused: 1);
    }

    [Fact]
    public async Task Requests_for_unknown_topics_and_denied_requests_are_not_counted()
    {
        await _session.Broker.ProduceAsync(new TopicPartition("unknown", 0), TestBatches.Of("a"), Acks.All);
        _authorizer.Denies = true;
        await _session.Broker.ProduceAsync(Orders, TestBatches.Of("a"), Acks.All);
        AssertCounts(recordsIn: 0, recordsOut: 0, refused: 0);
        Assert.Equal(0, _meter.Topics.Of("unknown").Refused);
    }

    [Fact]
    public async Task Appends_that_time_out_make_no_counts_of_topics_that_may_not_exist()
    {
        var broker = new InstantBroker(_broker) { Result = ProduceResult.Failed(ErrorCode.RequestTimedOut, "no leader answered") };
        var session = new BrokerAccess(broker, _broker, _authorizer, _meter).Open(BrokerSession.InProcess);
        for (var number = 0; number < 100; number++)
            await session.Broker.ProduceAsync(new TopicPartition($"made-up-{number}", 0), TestBatches.Of("a"), Acks.All);
        Assert.All(Enumerable.Range(0, 100), number => Assert.Null(_meter.Topics.Find($"made-up-{number}")));
        await _session.Broker.ProduceAsync(Orders, TestBatches.Of("a"), Acks.All);
        await session.Broker.ProduceAsync(Orders, TestBatches.Of("a"), Acks.All);
        AssertCounts(recordsIn: 1, recordsOut: 0, refused: 1);
    }

    [Fact]
    public async Task Topic_that_is_created_again_is_counted_from_the_start()
    {
        await _session.Broker.ProduceAsync(Orders, TestBatches.Of("a"), Acks.All);
        await _session.Broker.DeleteTopicAsync("orders");
        await _session.Broker.CreateTopicAsync(new NewTopic("orders"));
        AssertCounts(recordsIn: 0, recordsOut: 0, refused: 0);
        await _session.Broker.ProduceAsync(Orders, TestBatches.Of("a", "b"), Acks.All);
        AssertCounts(recordsIn: 2, recordsOut: 0, refused: 0);
    }

    [Fact]
    public void Check_and_count_allocate_nothing()
    {
        var broker = new InstantBroker(_broker);
        var session = new BrokerAccess(broker, _broker, _authorizer, _meter).Open(BrokerSession.InProcess);
        var (batch, request) = (TestBatches.Of("a"), new FetchRequest(Orders, 0));
        Assert.Equal(0, Allocations.Of(Run));

        void Run()
        {
            Assert.True(session.TryOpen(Orders, Guid.Empty, AccessOperation.Write, out var writing, out _));
            _ = writing.Refuse(InstantBroker.Produced).GetAwaiter().GetResult();
            writing.Delivered(broker.Fetched);
            _ = session.Broker.ProduceAsync(Orders, batch, Acks.All).GetAwaiter().GetResult();
            _ = session.Broker.FetchAsync(request).GetAwaiter().GetResult();
        }
    }

    private bool TryOpen(AccessOperation operation, out ErrorCode refusal) =>
        _session.TryOpen(Orders, Guid.Empty, operation, out _, out refusal);

    private void AssertCounts(long recordsIn, long recordsOut, long refused)
    {
        var counts = _meter.Topics.Of("orders");
        Assert.Equal((recordsIn, recordsOut, refused), (counts.RecordsIn, counts.RecordsOut, counts.Refused));
    }

    /// <summary>Answers at once, with the same results each time.</summary>
    private sealed class InstantBroker(IBroker inner) : ForwardingBroker(inner)
    {
        public static ProduceResult Produced { get; } = new(ErrorCode.None, 0);

        public ProduceResult Result { get; init; } = Produced;

        public FetchResult Fetched { get; } = new(ErrorCode.None, 1, 1, 0, TestBatches.Of("a"));

        public override ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
            CancellationToken cancellationToken = default) => new(Result);

        public override ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default) =>
            new(Fetched);
    }
}
