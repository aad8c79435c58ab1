using System.Diagnostics;
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

/// <summary>Sessions of HTTP that are held within their quotas.</summary>
public sealed class SessionPaceTests
{
    private static readonly TopicPartition Orders = new("orders", 0);

    [Theory]
    [InlineData(AccessOperation.Write, ErrorCode.None)]
    [InlineData(AccessOperation.Read, ErrorCode.TopicAuthorizationFailed)]
    public async Task Memory_of_a_batch_is_free_before_the_client_is_answered_and_who_may_not_write_pays_nothing(
        AccessOperation allowed, ErrorCode expected)
    {
        var time = new ManualClock();
        var store = new MemoryStateStore();
        await using var broker = await LocalBroker.OpenAsync(new BrokerOptions
        {
            DataDirectory = "/data",
            FileSystem = new MemoryFileSystem(tracksPowerCuts: false),
            MinFreeBytes = 0,
        });
        await broker.CreateTopicAsync(new NewTopic("orders"));
        await using var quotas = new BrokerQuotas(() => store, EngineLog.Silent, time);
        await quotas.OpenAsync(follows: false);
        await quotas.AlterAsync([new QuotaChange(new QuotaEntity("alice"),
            new Dictionary<QuotaKey, double?> { [QuotaKey.ProducerByteRate] = 1_000 })]);
        var session = new BrokerAccess(broker, authorizer: new OnlyOperation(allowed), quotas: quotas)
            .Open(BrokerSession.InProcess with { Protocol = SessionProtocol.Http, Principal = "User:alice" });
        var appended = 0;
        // Ten seconds' worth is there, so five seconds are owed.
        var answering = session.Producer.ProduceAsync(Orders, TestBatches.OfSize(15_000), Acks.All, transaction: null, () => appended++)
            .AsTask();
        if (expected == ErrorCode.None)
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
            while (appended == 0)
                await Task.Delay(1, patience.Token);
            Assert.False(answering.IsCompleted);
            Assert.Equal(1, (await broker.FindOffsetAsync(Orders, OffsetSpec.Latest)).Offset);
            Assert.InRange(Assert.Single(quotas.ListUsage()).Used, 1, 15_000);
            while (!answering.IsCompleted)
            {
                time.Advance(TimeSpan.FromSeconds(1));
                await Task.Delay(1, patience.Token);
            }
        }
        Assert.Equal(expected, (await answering).Error);
        Assert.Equal(expected == ErrorCode.None ? 1 : 0, appended);
        if (expected != ErrorCode.None)
            Assert.DoesNotContain(quotas.ListUsage(), static one => one.Used > 0);
    }

    [Fact]
    public async Task Request_whose_body_comes_late_pays_for_what_follows_and_not_for_the_wait()
    {
        var (time, store) = (new ManualClock(), new MemoryStateStore());
        await using var quotas = new BrokerQuotas(() => store, EngineLog.Silent, time);
        await quotas.OpenAsync(follows: false);
        await quotas.AlterAsync([new QuotaChange(new QuotaEntity("alice"),
            new Dictionary<QuotaKey, double?> { [QuotaKey.RequestPercentage] = 1_000_000 })]);
        var pace = new SessionPace(quotas.Of("User:alice", ""));
        var (body, answer) = (new TaskCompletionSource(), new TaskCompletionSource());
        var work = TimeSpan.FromMilliseconds(20);
        var began = Stopwatch.GetTimestamp();
        var running = pace.RunAsync(RequestAsync, CancellationToken.None);
        var most = Stopwatch.GetElapsedTime(began);
        var before = Charged();
        Assert.InRange(before, 0, most.TotalSeconds);
        SpinFor(5 * work);
        Assert.Equal(before, Charged());

        began = Stopwatch.GetTimestamp();
        body.SetResult();
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (Charged() == before)
            await Task.Delay(1, patience.Token);
        most += Stopwatch.GetElapsedTime(began);
        Assert.InRange(Charged(), before + work.TotalSeconds, most.TotalSeconds);
        answer.SetResult();
        await running;

        async Task RequestAsync()
        {
            // A gateway's requests have no context, to which a test's would return.
            await SessionPace.ReceiveAsync(ReceiveAsync(), pace).ConfigureAwait(false);
            SpinFor(work);
            await answer.Task;
        }

        async ValueTask<bool> ReceiveAsync()
        {
            await body.Task;
            return true;
        }

        // Under a clock that stands still, the rate is a tenth of what was used, in hundredths of a second.
        double Charged() => quotas.ListUsage().SingleOrDefault()?.Used / 10 ?? 0;

        static void SpinFor(TimeSpan span)
        {
            var from = Stopwatch.GetTimestamp();
            SpinWait.SpinUntil(() => Stopwatch.GetElapsedTime(from) >= span);
        }
    }

    [Fact]
    public async Task Next_request_of_a_connection_that_begins_within_the_one_before_is_paid_for_once()
    {
        var (time, store) = (new ManualClock(), new MemoryStateStore());
        await using var quotas = new BrokerQuotas(() => store, EngineLog.Silent, time);
        await quotas.OpenAsync(follows: false);
        await quotas.AlterAsync([new QuotaChange(new QuotaEntity("alice"),
            new Dictionary<QuotaKey, double?> { [QuotaKey.RequestPercentage] = 1_000_000 })]);
        var pace = new SessionPace(quotas.Of("User:alice", ""));
        var body = new TaskCompletionSource();
        var work = TimeSpan.FromMilliseconds(20);
        var began = Stopwatch.GetTimestamp();
        var running = pace.RunAsync(FirstAsync, CancellationToken.None);
        body.SetResult();
        await running;
        // The first one is paid for behind the answer.
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (Charged() < 3 * work.TotalSeconds)
            await Task.Delay(1, patience.Token);
        Assert.InRange(Charged(), 3 * work.TotalSeconds, Stopwatch.GetElapsedTime(began).TotalSeconds);

        async Task FirstAsync()
        {
            await SessionPace.ReceiveAsync(ReceiveAsync(), pace).ConfigureAwait(false);
            Spin();
            await pace.RunAsync(SecondAsync, CancellationToken.None).ConfigureAwait(false);
            Spin();
        }

        Task SecondAsync()
        {
            Spin();
            return Task.CompletedTask;
        }

        async ValueTask<bool> ReceiveAsync()
        {
            await body.Task.ConfigureAwait(false);
            return true;
        }

        double Charged() => quotas.ListUsage().SingleOrDefault()?.Used / 10 ?? 0;

        void Spin()
        {
            var from = Stopwatch.GetTimestamp();
            SpinWait.SpinUntil(() => Stopwatch.GetElapsedTime(from) >= work);
        }
    }

    private sealed class OnlyOperation(AccessOperation allowed) : IAuthorizer
    {
        public int Version => 0;

        public bool Allows(BrokerSession session, AccessOperation operation, ResourceType type, string name) => operation == allowed;

        public bool AllowsAny(BrokerSession session, AccessOperation operation, ResourceType type) => operation == allowed;
    }
}
