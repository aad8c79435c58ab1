using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Quotas;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Engine.VirtualHosts;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Access;

/// <summary>Consumers of queues, and schedules, of sessions of HTTP that are held within their byte rates.</summary>
public sealed class QueueAndSchedulePaceTests : IAsyncLifetime
{
    // Ten seconds' worth is saved.
    private const double Rate = 1_000;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly TopicPartition Orders = new("orders", 0);

    private readonly ManualClock _clock = new();
    private readonly List<string> _calls = [];
    private LocalBroker _broker = null!;
    private BrokerQuotas _quotas = null!;
    private SessionAccess _session = null!;

    public async Task InitializeAsync()
    {
        _broker = await LocalBroker.OpenAsync(new BrokerOptions
        {
            DataDirectory = "/data",
            FileSystem = new MemoryFileSystem(tracksPowerCuts: false),
            MinFreeBytes = 0,
        });
        await _broker.CreateTopicAsync(new NewTopic("orders"));
        await _broker.Queues.CreateAsync(Orders, new NewQueue("mails"));
        var store = new MemoryStateStore();
        _quotas = new BrokerQuotas(() => store, EngineLog.Silent, _clock);
        await _quotas.OpenAsync(follows: false);
        await _quotas.AlterAsync([new QuotaChange(new QuotaEntity("alice"), new Dictionary<QuotaKey, double?>
        {
            [QuotaKey.ProducerByteRate] = Rate,
            [QuotaKey.ConsumerByteRate] = Rate,
        })]);
        _session = new BrokerAccess(CallRecorder.Of(_broker, _calls), quotas: _quotas)
            .Open(BrokerSession.InProcess with { Protocol = SessionProtocol.Http, Principal = "User:alice" });
    }

    public async Task DisposeAsync()
    {
        await _quotas.DisposeAsync();
        await _broker.DisposeAsync();
    }

    [Fact]
    public async Task Delivery_and_peek_pay_the_bytes_of_their_records()
    {
        var consumer = await AttachAsync();
        await ProduceAsync("0123456789");
        var before = Left(QuotaKey.ConsumerByteRate);
        var peeked = Assert.Single(await _session.Broker.Queues.PeekAsync(Orders, "mails", 10));
        var bytes = RecordBytes.Of(peeked);
        Assert.InRange(bytes, 10, 100);
        Assert.Equal(before - bytes, Left(QuotaKey.ConsumerByteRate));
        Assert.NotNull(await _session.Broker.Queues.ReceiveAsync(Orders, consumer, 10, Patience));
        Assert.Equal(before - 2 * bytes, Left(QuotaKey.ConsumerByteRate));
    }

    [Fact]
    public async Task Receive_begins_when_the_client_is_within_its_rate_and_the_leader_hears_of_its_consumer_meanwhile()
    {
        var consumer = await AttachAsync();
        await ProduceAsync("x");
        Owe(QuotaKey.ConsumerByteRate, seconds: 2);
        var receiving = _session.Broker.Queues.ReceiveAsync(Orders, consumer, 10, Patience).AsTask();
        Assert.False(receiving.IsCompleted);
        Assert.Equal(0, CallsOf(nameof(IQueues.ReceiveAsync)));
        Assert.Single((await AdvanceUntilAsync(receiving))!.Records);
        Assert.Equal((4, 1), (CallsOf(nameof(IQueues.SettleAsync)), CallsOf(nameof(IQueues.ReceiveAsync))));
    }

    [Fact]
    public async Task Receive_of_a_client_far_beyond_its_rate_brings_nothing_and_one_that_does_not_wait_is_refused()
    {
        var consumer = await AttachAsync();
        await ProduceAsync("x");
        Owe(QuotaKey.ConsumerByteRate, seconds: 60);
        Assert.Null(await AdvanceUntilAsync(_session.Broker.Queues.ReceiveAsync(Orders, consumer, 10, Patience).AsTask()));
        Owe(QuotaKey.ConsumerByteRate, seconds: 60);
        var polling = _session.Broker.Queues.ReceiveAsync(Orders, consumer, 10, TimeSpan.Zero).AsTask();
        Assert.Equal(ErrorCode.ThrottlingQuotaExceeded,
            (await Assert.ThrowsAsync<BrokerException>(() => AdvanceUntilAsync(polling))).Code);
        Assert.Equal(0, CallsOf(nameof(IQueues.ReceiveAsync)));
        // One that takes no records hands out none.
        Assert.Null(await _session.Broker.Queues.ReceiveAsync(Orders, consumer, 0, TimeSpan.Zero));
        var refused = await Assert.ThrowsAsync<BrokerException>(() => _session.Broker.Queues.PeekAsync(Orders, "mails", 1).AsTask());
        Assert.Equal(ErrorCode.ThrottlingQuotaExceeded, refused.Code);
        Assert.Contains("consumer_byte_rate", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Consumer_that_is_not_attached_is_told_so_and_not_held_back()
    {
        Owe(QuotaKey.ConsumerByteRate, seconds: 10);
        var refused = await Assert.ThrowsAsync<BrokerException>(() =>
            _session.Broker.Queues.ReceiveAsync(Orders, Guid.NewGuid(), 10, Patience).AsTask());
        Assert.Equal(ErrorCode.UnknownMemberId, refused.Code);
    }

    [Fact]
    public async Task Schedule_is_stored_and_answered_when_the_client_is_within_its_rate_again()
    {
        // Two seconds' worth more than is saved.
        var creating = _session.Broker.Schedules.CreateAsync(ScheduleOf("one", 12 * (int)Rate)).AsTask();
        await Wait.UntilAsync(async () => await _broker.Schedules.FindAsync("orders", "one") is not null, Patience);
        Assert.False(creating.IsCompleted);
        Assert.Equal("one", (await AdvanceUntilAsync(creating)).Id);
    }

    [Fact]
    public async Task Schedule_of_a_client_far_beyond_its_rate_is_refused_and_not_stored()
    {
        Owe(QuotaKey.ProducerByteRate, seconds: 60);
        var refused = await Assert.ThrowsAsync<BrokerException>(() =>
            _session.Broker.Schedules.CreateAsync(ScheduleOf("one", 10)).AsTask());
        Assert.Equal(ErrorCode.ThrottlingQuotaExceeded, refused.Code);
        Assert.Contains("producer_byte_rate", refused.Message, StringComparison.Ordinal);
        Assert.Null(await _broker.Schedules.FindAsync("orders", "one"));
    }

    private static NewSchedule ScheduleOf(string id, int bytes) => new("orders")
    {
        Id = id,
        At = DateTimeOffset.UtcNow.AddDays(1),
        Value = new byte[bytes],
    };

    private ValueTask<Guid> AttachAsync() => _session.Broker.Queues.AttachAsync(Orders, "mails",
        new QueueAttachOptions { SessionTimeout = TimeSpan.FromMinutes(5) });

    private async Task ProduceAsync(string value) =>
        Assert.Equal(ErrorCode.None, (await _broker.ProduceAsync(Orders, TestBatches.Of(value), Acks.All)).Error);

    private double Left(QuotaKey key) => _session.Quotas!.Of(key)!.Left;

    private void Owe(QuotaKey key, double seconds) => _session.Quotas!.Charge(key, Left(key) + seconds * Rate);

    private int CallsOf(string method)
    {
        lock (_calls)
            return _calls.Count(call => call == method);
    }

    private async Task<T> AdvanceUntilAsync<T>(Task<T> answering)
    {
        using var patience = new CancellationTokenSource(Patience);
        while (!answering.IsCompleted)
        {
            _clock.Advance(TimeSpan.FromMilliseconds(100));
            await Task.Delay(1, patience.Token);
        }
        return await answering;
    }
}
