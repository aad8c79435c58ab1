using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization.Invocation;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Grains;
using OrleansMq.Grains.Access;
using OrleansMq.Grains.Security;
using OrleansMq.Quotas;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Access;

/// <summary>Orleans clients pay the quotas of their principal. The broker's clock stands still unless a test advances it.</summary>
public sealed class ClientQuotaTests : IAsyncLifetime
{
    private const string Stranger = "ANONYMOUS";
    private const int Rate = 1_000;
    // A window allows ten seconds' worth.
    private const int Window = 10 * Rate;
    private static readonly TimeSpan MostOfCall = TimeSpan.FromSeconds(4);
    private static readonly TopicPartition Orders = new("orders", 0);
    private readonly TempDirectory _data = new();
    private readonly HoldClock _clock = new();
    private TestSilo _silo = null!;
    private Guid _topicId;

    public async Task InitializeAsync()
    {
        _silo = await TestSilo.StartAsync(_data.Path, configure: options => options with { TimeProvider = _clock });
        _topicId = (await _silo.Inside.CreateTopicAsync(new NewTopic(Orders.Topic))).TopicId;
    }

    public async Task DisposeAsync()
    {
        await _silo.DisposeAsync();
        _data.Dispose();
    }

    private BrokerQuotas Quotas => _silo.Services.GetRequiredService<SiloSecurity>().Quotas;

    private IPartitionGrain Partition => _silo.Client.GetPartition(_topicId, 0);

    [Fact]
    public async Task Held_append_is_answered_within_four_seconds_and_stored_once_and_the_next_is_refused()
    {
        await LimitAsync(QuotaKey.ProducerByteRate, Rate);
        var batch = TestBatches.OfSize(50 * Rate);
        var held = _silo.Outside.ProduceAsync(Orders, batch, Acks.All).AsTask();
        await HeldAsync(QuotaKey.ProducerByteRate, MostOfCall, held);
        Assert.Equal(1, await EndAsync());
        await _clock.PassAsync(MostOfCall, held);
        Assert.Equal((ErrorCode.None, 0), ((await held).Error, (await held).BaseOffset));

        var owed = Assert.Single(Quotas.ListUsage()).Wait;
        Assert.True(owed > MostOfCall, $"{owed}");
        var refused = await _silo.Outside.ProduceAsync(Orders, TestBatches.Of("y"), Acks.All);
        Assert.Equal(ErrorCode.ThrottlingQuotaExceeded, refused.Error);
        Assert.Equal(ErrorAction.Retry, refused.Error.Action());
        Assert.Contains("producer_byte_rate", refused.Message, StringComparison.Ordinal);
        Assert.Equal(1, await EndAsync());
        // Refusals hold nothing back.
        Assert.Equal(MostOfCall.TotalSeconds, Quotas.SecondsThrottled(Stranger, QuotaKey.ProducerByteRate));
        // The application in the silo pays nothing.
        Assert.Equal(ErrorCode.None, (await _silo.Inside.ProduceAsync(Orders, TestBatches.Of("z"), Acks.All)).Error);

        _clock.Advance(owed - MostOfCall / 2);
        held = _silo.Outside.ProduceAsync(Orders, TestBatches.OfSize(50 * Rate), Acks.All).AsTask();
        await HeldAsync(QuotaKey.ProducerByteRate, 2 * MostOfCall, held);
        await _clock.PassAsync(MostOfCall, held);
        Assert.Equal((ErrorCode.None, 2), ((await held).Error, (await held).BaseOffset));
    }

    [Fact]
    public async Task Append_of_a_grain_reference_is_held_until_it_is_cancelled()
    {
        await LimitAsync(QuotaKey.ProducerByteRate, Rate);
        using var gone = new CancellationTokenSource();
        var held = Partition.AppendAsync(TestBatches.OfSize(50 * Rate), Acks.All, gone.Token);
        await HeldAsync(QuotaKey.ProducerByteRate, MostOfCall, held);
        await _clock.ArmedAsync(MostOfCall);
        await gone.CancelAsync();
        await Task.WhenAny(held).WaitAsync(Wait.Deadline);
        await Wait.UntilAsync(() => !_clock.Armed.Contains(MostOfCall), "the hold has ended");
        Assert.Equal(1, await EndAsync());
    }

    [Fact]
    public async Task Batches_of_one_call_are_held_once_and_those_beyond_the_longest_hold_are_refused()
    {
        await LimitAsync(QuotaKey.ProducerByteRate, Rate);
        // Within the window; two seconds beyond it; far beyond it; and one that comes too late.
        byte[][] batches = [Sized(Window), Sized(2 * Rate), Sized(30 * Rate), Sized(Rate)];
        var expected = new[] { ErrorCode.None, ErrorCode.None, ErrorCode.None, ErrorCode.ThrottlingQuotaExceeded };
        var held = _silo.Client.GetGrain<IPartitionAppendGrain>(GrainKeys.Partition(_topicId, 0))
            .AppendManyAsync(Array.ConvertAll(batches, static batch => BatchInCall.Lend(batch)), Acks.All);
        await HeldAsync(QuotaKey.ProducerByteRate, MostOfCall, held);
        Assert.Equal(3, await EndAsync());
        await _clock.PassAsync(MostOfCall, held);
        Assert.Equal(expected, (await held).Select(static result => result.Error));
        Assert.Equal([0L, 1, 2], (await held).Take(3).Select(static result => result.BaseOffset));
        Assert.Equal(3, await EndAsync());
        Assert.Equal(MostOfCall.TotalSeconds, Quotas.SecondsThrottled(Stranger, QuotaKey.ProducerByteRate));
    }

    [Fact]
    public async Task Stop_of_the_silo_does_not_wait_for_what_is_held()
    {
        await LimitAsync(QuotaKey.ProducerByteRate, Rate);
        var held = _silo.Outside.ProduceAsync(Orders, TestBatches.OfSize(50 * Rate), Acks.All).AsTask();
        await HeldAsync(QuotaKey.ProducerByteRate, MostOfCall, held);
        await _silo.StopAsync();
        await Task.WhenAny(held).WaitAsync(Wait.Deadline);
    }

    [Fact]
    public async Task Stop_of_the_silo_ends_all_holds()
    {
        var held = Quotas.HoldAsync(TimeSpan.FromDays(1), CancellationToken.None).AsTask();
        Assert.False(held.IsCompleted);
        await _silo.StopAsync();
        // False: the broker stops.
        Assert.False(await held.WaitAsync(Wait.Deadline));
    }

    [Fact]
    public async Task Peek_has_its_turn_or_is_refused()
    {
        var (turn, queues) = (_silo.Services.GetRequiredService<BrokerAccess>().CallPeeks, _silo.Client.GetQueues(_topicId, 0));
        var first = new TaskCompletionSource<QueueRecord[]>();
        var peeking = turn.TryPeekAsync(Wait.Deadline, _ => first.Task, default);
        var refused = await Assert.ThrowsAsync<BrokerException>(() => queues.PeekAsync("none", 1).WaitAsync(Wait.Deadline));
        Assert.Equal(ErrorCode.RequestTimedOut, refused.Code);
        first.SetResult([]);
        Assert.Empty((await peeking.WaitAsync(Wait.Deadline))!);
        await PeekAnsweredAsync(queues);
    }

    [Fact]
    public async Task Peek_does_not_wait_for_one_over_HTTP_that_hangs()
    {
        var leader = new TaskCompletionSource<QueueRecord[]>();
        var hanging = _silo.Services.GetRequiredService<BrokerAccess>().HttpPeeks
            .TryPeekAsync(Wait.Deadline, _ => leader.Task, default);
        await PeekAnsweredAsync(_silo.Client.GetQueues(_topicId, 0));
        Assert.False(hanging.IsCompleted);
        leader.SetResult([]);
        Assert.Empty((await hanging.WaitAsync(Wait.Deadline))!);
    }

    [Fact]
    public async Task Held_read_waits_for_records_in_what_is_left_of_its_time()
    {
        var length = await ProduceInsideAsync(Window + (2 * Rate));
        await LimitAsync(QuotaKey.ConsumerByteRate, Rate);
        Assert.Equal(length, (await Partition.ReadAsync(new PartitionRead(0))).Length);
        var owed = TimeSpan.FromMilliseconds(length - Window);
        var held = Partition.ReadAsync(new PartitionRead(1) { MaxWait = TimeSpan.FromSeconds(5) });
        await _clock.ArmedAsync(owed);
        Assert.Equal(owed.TotalSeconds, Quotas.SecondsThrottled(Stranger, QuotaKey.ConsumerByteRate), 6);
        Assert.False(held.IsCompleted);
        _clock.Advance(owed);
        var left = TimeSpan.FromSeconds(5) - owed;
        await _clock.ArmedAsync(left);
        Assert.False(held.IsCompleted);
        _clock.Advance(left);
        var read = await held;
        Assert.Equal((ErrorCode.None, 0), (read.Error, read.Length));
    }

    [Fact]
    public async Task Held_read_ends_when_it_is_cancelled()
    {
        var length = await ProduceInsideAsync(Window + (2 * Rate));
        await LimitAsync(QuotaKey.ConsumerByteRate, Rate);
        Assert.Equal(length, (await Partition.ReadAsync(new PartitionRead(0))).Length);
        using var gone = new CancellationTokenSource();
        var owed = TimeSpan.FromMilliseconds(length - Window);
        var held = Partition.ReadAsync(new PartitionRead(1), gone.Token);
        await _clock.ArmedAsync(owed);
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => held.WaitAsync(Wait.Deadline));
        await Wait.UntilAsync(() => !_clock.Armed.Contains(owed), "the hold has ended");
    }

    [Fact]
    public async Task Reader_far_beyond_its_rate_is_refused_until_it_is_within_it()
    {
        var length = await ProduceInsideAsync(50 * Rate);
        await ProduceInsideAsync(Rate);
        await LimitAsync(QuotaKey.ConsumerByteRate, Rate);
        // One batch is read, however large.
        using (var read = await _silo.Outside.FetchAsync(new FetchRequest(Orders, 0)))
            Assert.Equal(length, read.Records.Length);
        using (var refused = await _silo.Outside.FetchAsync(new FetchRequest(Orders, 1)))
        {
            Assert.Equal(ErrorCode.ThrottlingQuotaExceeded, refused.Error);
            Assert.Contains("consumer_byte_rate", refused.Message, StringComparison.Ordinal);
        }
        Assert.Equal(0, Quotas.SecondsThrottled(Stranger, QuotaKey.ConsumerByteRate));
        using (var inside = await _silo.Inside.FetchAsync(new FetchRequest(Orders, 0)))
            Assert.Equal(2, TestBatches.Read(inside.Records).Count);
        _clock.Advance(Assert.Single(Quotas.ListUsage()).Wait);
        using var rest = await _silo.Outside.FetchAsync(new FetchRequest(Orders, 1));
        Assert.Single(TestBatches.Read(rest.Records));
    }

    [Fact]
    public async Task Creations_additions_and_deletions_of_partitions_pay_and_what_is_refused_is_not_done()
    {
        await LimitAsync(QuotaKey.ControllerMutationRate, 0.1);
        var cluster = _silo.Client.GetGrain<IClusterGrain>(GrainKeys.Cluster);
        // One is there.
        await _silo.Outside.CreateTopicAsync(new NewTopic("first", Partitions: 5));
        Assert.Equal(40, Owed());
        await RefusedAsync(() => cluster.CreateTopicAsync(new NewTopic("second")));
        await RefusedAsync(() => cluster.DeleteTopicAsync("first"));
        await RefusedAsync(() => cluster.DeleteTopicByIdAsync(Orders.Topic, _topicId));
        await RefusedAsync(() => _silo.Client.GetTopic("first").AddPartitionsAsync(6));
        Assert.Equal(5, (await _silo.Inside.GetTopicAsync("first")).Partitions);
        Assert.Equal(0, Quotas.SecondsThrottled(Stranger, QuotaKey.ControllerMutationRate));
        await _silo.Inside.CreateTopicAsync(new NewTopic("third"));
        Assert.Equal(40, Owed());

        _clock.Advance(TimeSpan.FromSeconds(40));
        Assert.Equal(8, (await _silo.Outside.AddPartitionsAsync("first", 8)).Partitions.Count);
        Assert.Equal(30, Owed());
        _clock.Advance(TimeSpan.FromSeconds(32));
        Assert.Equal(ErrorCode.UnknownTopicOrPartition,
            (await Assert.ThrowsAsync<BrokerException>(() => cluster.DeleteTopicAsync("invented"))).Code);
        Assert.Equal(0, Owed());
        await _silo.Outside.DeleteTopicAsync("third");
        Assert.Equal(8, Owed());
        Assert.Equal(["first", "orders"], (await _silo.Inside.ListTopicsAsync()).Select(static topic => topic.Name).Order());

        async Task RefusedAsync(Func<Task> call)
        {
            var refused = await Assert.ThrowsAsync<BrokerException>(call);
            Assert.Equal(ErrorCode.ThrottlingQuotaExceeded, refused.Code);
            Assert.Contains("controller_mutation_rate", refused.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(ErrorCode.LeaderNotAvailable, 0)]
    [InlineData(ErrorCode.NotLeaderOrFollower, 0)]
    [InlineData(ErrorCode.RequestTimedOut, 40)]
    [InlineData(ErrorCode.TopicAlreadyExists, 40)]
    public async Task Creation_pays_nothing_where_the_catalogue_had_moved_and_did_nothing(ErrorCode answer, double owed)
    {
        await LimitAsync(QuotaKey.ControllerMutationRate, 0.1);
        var door = _silo.Services.GetRequiredService<GrainDoor>();
        var call = new Creation(new NewTopic("first", Partitions: 5), answer);
        Assert.Equal(answer, (await Assert.ThrowsAsync<BrokerException>(() => door.InvokeAsync(call))).Code);
        Assert.Equal(owed, Owed());
        // Of five that were taken, one was there.
        Assert.Equal(owed == 0 ? answer : ErrorCode.ThrottlingQuotaExceeded,
            (await Assert.ThrowsAsync<BrokerException>(() => door.InvokeAsync(call))).Code);
        Assert.Equal(owed == 0 ? 2 : 1, call.Invoked);
    }

    [Fact]
    public async Task Calls_beyond_the_time_of_requests_are_carried_out_and_answered_a_second_later()
    {
        await LimitAsync(QuotaKey.RequestPercentage, 1e-9);
        var group = _silo.Client.GetGrain<IGroupGrain>("g");
        // The second one comes while a minute is owed.
        for (var offset = 1; offset <= 2; offset++)
        {
            var held = group.SendAsync(new OffsetCommit
            {
                GroupId = "g",
                Offsets = [new PartitionOffset(Orders.Topic, 0, new CommittedOffset(offset))],
            }, default);
            await Wait.UntilAsync(async () => (await _silo.Inside.Groups.FetchOffsetsAsync(new OffsetFetch { GroupId = "g" }))
                .Partitions.SingleOrDefault()?.Offset?.Offset == offset, "the offset is committed");
            await HeldAsync(QuotaKey.RequestPercentage, TimeSpan.FromSeconds(offset), held);
            await _clock.PassAsync(TimeSpan.FromSeconds(1), held);
            Assert.Equal(ErrorCode.None, ((OffsetCommitResult)(await held)!).Partitions.Single().Error);
        }
    }

    [Fact]
    public async Task Answer_that_would_keep_others_waiting_is_not_held_and_the_next_one_is()
    {
        await LimitAsync(QuotaKey.RequestPercentage, 1e-9);
        var topic = _silo.Client.GetTopic(Orders.Topic);
        await topic.AlterAsync(new Dictionary<string, string?> { ["retention.ms"] = "5000" }).WaitAsync(Wait.Deadline);
        await topic.AddPartitionsAsync(2).WaitAsync(Wait.Deadline);
        Assert.Equal(0, Quotas.SecondsThrottled(Stranger, QuotaKey.RequestPercentage));
        Assert.True(Owed() > 0);
        var held = topic.FindAsync();
        await HeldAsync(QuotaKey.RequestPercentage, TimeSpan.FromSeconds(1), held);
        // Others of the grain go on meanwhile, also those that come one at a time.
        await _silo.Inside.AlterTopicAsync(Orders.Topic, new Dictionary<string, string?> { ["retention.ms"] = "6000" });
        Assert.False(held.IsCompleted);
        await _clock.PassAsync(TimeSpan.FromSeconds(1), held);
        Assert.Equal(2, (await held)!.Partitions);
    }

    [Fact]
    public async Task Grain_of_the_application_pays_only_for_partitions_that_it_calls_itself()
    {
        await LimitAsync(QuotaKey.ProducerByteRate, Rate);
        await LimitAsync(QuotaKey.RequestPercentage, 1e-9);
        Assert.Equal(ErrorCode.None, await _silo.Client.GetGrain<ITicketLookoutGrain>("one").ProduceAsync(Orders.Topic));
        var batch = TestBatches.Of("by grain").Length;
        var used = Assert.Single(Quotas.ListUsage(), static usage => usage.Used > 0);
        Assert.Equal((QuotaKey.ProducerByteRate, Stranger), (used.Key, used.Scope.User));
        Assert.Equal(batch, used.Used * 10, 3);
    }

    // The queue is not there.
    private static async Task PeekAnsweredAsync(IQueueGrain queues)
    {
        var answered = await Assert.ThrowsAsync<BrokerException>(() => queues.PeekAsync("none", 1).WaitAsync(Wait.Deadline));
        Assert.Equal(ErrorCode.GroupIdNotFound, answered.Code);
    }

    private static byte[] Sized(int bytes) => TestBatches.OfSize(bytes / 2);

    private double Owed() => Math.Round(Quotas.ListUsage().Max(static usage => usage.Wait).TotalSeconds, 3);

    private async Task<int> ProduceInsideAsync(int bytes)
    {
        var batch = Sized(bytes);
        Assert.Equal(ErrorCode.None, (await _silo.Inside.ProduceAsync(Orders, batch, Acks.All)).Error);
        return batch.Length;
    }

    private async Task<long> EndAsync() => (await _silo.Inside.FindOffsetAsync(Orders, OffsetSpec.Latest)).Offset;

    // The clock stands still, so that what is held has no answer.
    private async Task HeldAsync(QuotaKey key, TimeSpan altogether, Task held)
    {
        await Wait.UntilAsync(() => Quotas.SecondsThrottled(Stranger, key) > altogether.TotalSeconds - 0.5, "an answer is held");
        Assert.Equal(altogether.TotalSeconds, Quotas.SecondsThrottled(Stranger, key));
        Assert.False(held.IsCompleted);
    }

    private ValueTask LimitAsync(QuotaKey key, double? limit) => Quotas.AlterAsync([new QuotaChange(
        new QuotaEntity(Stranger), new Dictionary<QuotaKey, double?> { [key] = limit })], default);

    private sealed class Creation(NewTopic topic, ErrorCode answer) : IIncomingGrainCallContext
    {
        public int Invoked { get; private set; }

        public GrainId? SourceId => GrainId.Create("sys.client", "outside");

        public MethodInfo InterfaceMethod => typeof(IClusterGrain).GetMethod(nameof(IClusterGrain.CreateTopicAsync))!;

        public GrainId TargetId => GrainId.Create("omq.cluster", GrainKeys.Cluster);

        public IInvokable Request { get; } = RequestOf(topic);

        public object Grain => throw new NotSupportedException();

        public MethodInfo ImplementationMethod => InterfaceMethod;

        public IGrainContext TargetContext => throw new NotSupportedException();

        public GrainInterfaceType InterfaceType => throw new NotSupportedException();

        public string InterfaceName => nameof(IClusterGrain);

        public string MethodName => nameof(IClusterGrain.CreateTopicAsync);

        public object? Result { get; set; }

        public Response? Response { get; set; }

        public Task Invoke()
        {
            Invoked++;
            return Task.FromException(new BrokerException(answer, "as told"));
        }

        private static IInvokable RequestOf(object argument)
        {
            var request = DispatchProxy.Create<IInvokable, Arguments>();
            ((Arguments)(object)request).Only = argument;
            return request;
        }
    }

    // A dispatch proxy derives from it.
    public class Arguments : DispatchProxy
    {
        internal object Only { get; set; } = null!;

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) =>
            targetMethod!.Name == nameof(IInvokable.GetArgument) ? Only : throw new NotSupportedException();
    }
}
