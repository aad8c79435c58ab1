using System.Reflection;
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
    private BrokerAccess _access = null!;
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
        _access = new BrokerAccess(CallRecorder.Of(_broker, _calls), quotas: _quotas);
        _session = Connect();
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

    [Theory]
    [InlineData(10)]
    [InlineData(0)]
    public async Task Later_receive_over_any_connection_ends_one_that_is_held(int maxRecords)
    {
        var consumer = await AttachAsync();
        await ProduceAsync("x");
        Owe(QuotaKey.ConsumerByteRate, seconds: 2);
        var held = _session.Broker.Queues.ReceiveAsync(Orders, consumer, 10, Patience).AsTask();
        await Wait.UntilAsync(() => CallsOf(nameof(IQueues.SettleAsync)) == 1, Patience);
        Assert.False(held.IsCompleted);
        var later = Connect().Broker.Queues.ReceiveAsync(Orders, consumer, maxRecords, Patience).AsTask();
        // The clock stands still.
        Assert.Null(await held.WaitAsync(Patience));
        if (maxRecords == 0)
            Assert.Null(await later.WaitAsync(Patience));
        else
            Assert.Single((await AdvanceUntilAsync(later))!.Records);
        Assert.Equal(1, CallsOf(nameof(IQueues.ReceiveAsync)));
    }

    [Fact]
    public async Task Held_receive_ends_when_it_is_cancelled()
    {
        var consumer = await AttachAsync();
        await ProduceAsync("x");
        Owe(QuotaKey.ConsumerByteRate, seconds: 2);
        using var gone = new CancellationTokenSource();
        var held = _session.Broker.Queues.ReceiveAsync(Orders, consumer, 10, Patience, gone.Token).AsTask();
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => held.WaitAsync(Patience));
        Assert.Equal(0, CallsOf(nameof(IQueues.ReceiveAsync)));
    }

    [Fact]
    public async Task Receive_begins_when_what_another_of_the_user_brings_is_paid()
    {
        var consumer = await AttachAsync();
        await ProduceAsync("x");
        var account = _session.Quotas!.Of(QuotaKey.ConsumerByteRate)!;
        Assert.True(account.TryBeginRead(1, out _));
        var receiving = _session.Broker.Queues.ReceiveAsync(Orders, consumer, 10, Patience).AsTask();
        await Wait.UntilAsync(() => CallsOf(nameof(IQueues.SettleAsync)) == 1, Patience);
        account.EndRead(account.Left + 2 * Rate);
        Assert.Single((await AdvanceUntilAsync(receiving))!.Records);
        // The leader hears of the consumer while another reads, and in each half second of the debt.
        Assert.Equal((5, 1), (CallsOf(nameof(IQueues.SettleAsync)), CallsOf(nameof(IQueues.ReceiveAsync))));
    }

    [Fact]
    public async Task Receive_does_not_wait_for_another_of_the_user_whose_leader_is_silent_and_whose_delivery_pays_later()
    {
        var (silent, answer) = (Guid.NewGuid(), new TaskCompletionSource<QueueDelivery?>());
        var queues = new SessionQueues(SilentLeader.Of(_broker.Queues, silent, answer.Task), _session);
        var consumer = await AttachAsync();
        await ProduceAsync("0123456789");
        var first = queues.ReceiveAsync(Orders, silent, 10, Patience).AsTask();
        var second = queues.ReceiveAsync(Orders, consumer, 10, Patience).AsTask();
        Assert.False(second.IsCompleted);
        _clock.Advance(TimeSpan.FromMilliseconds(500));
        var delivery = await second.WaitAsync(Patience);
        var bytes = RecordBytes.Of(Assert.Single(delivery!.Records));
        Assert.False(first.IsCompleted);
        var before = Left(QuotaKey.ConsumerByteRate);
        answer.SetResult(delivery);
        Assert.Same(delivery, await first.WaitAsync(Patience));
        Assert.Equal(before - bytes, Left(QuotaKey.ConsumerByteRate));
    }

    [Fact]
    public async Task Receive_that_has_waited_for_records_brings_one_and_the_next_the_rest()
    {
        var consumer = await AttachAsync();
        var receiving = _session.Broker.Queues.ReceiveAsync(Orders, consumer, 10, Patience).AsTask();
        await Wait.UntilAsync(() => CallsOf(nameof(IQueues.ReceiveAsync)) == 2, Patience);
        var before = Left(QuotaKey.ConsumerByteRate);
        Assert.Equal(ErrorCode.None, (await _broker.ProduceAsync(Orders, TestBatches.Of("a", "b", "c"), Acks.All)).Error);
        var first = Assert.Single((await receiving.WaitAsync(Patience))!.Records);
        Assert.Equal(before - RecordBytes.Of(first), Left(QuotaKey.ConsumerByteRate));
        var rest = await _session.Broker.Queues.ReceiveAsync(Orders, consumer, 10, Patience);
        Assert.Equal([first.Offset + 1, first.Offset + 2], rest!.Records.Select(static record => record.Offset));
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

    private SessionAccess Connect() =>
        _access.Open(BrokerSession.InProcess with { Protocol = SessionProtocol.Http, Principal = "User:alice" });

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

    // The leader of one consumer's partition answers its receives when the test does.
    public class SilentLeader : DispatchProxy
    {
        private IQueues _queues = null!;
        private Guid _consumer;
        private Task<QueueDelivery?> _answer = null!;

        internal static IQueues Of(IQueues queues, Guid consumer, Task<QueueDelivery?> answer)
        {
            var proxy = Create<IQueues, SilentLeader>();
            var leader = (SilentLeader)(object)proxy;
            (leader._queues, leader._consumer, leader._answer) = (queues, consumer, answer);
            return proxy;
        }

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) =>
            targetMethod!.Name == nameof(IQueues.ReceiveAsync) && args![1] is Guid consumer && consumer == _consumer
                ? new ValueTask<QueueDelivery?>(_answer) : targetMethod.Invoke(_queues, args);
    }
}
