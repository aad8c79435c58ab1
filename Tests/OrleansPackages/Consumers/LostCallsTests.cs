using OrleansMq.Consumers;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>When the grain of a call without an answer is asked about it, and when the call counts as lost.</summary>
public sealed class LostCallsTests
{
    private static readonly TimeSpan s_interval = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_grace = TimeSpan.FromSeconds(1);
    private static readonly DeliveryAnswer s_served = new(1, DeliveryOutcome.Served);

    private readonly ManualClock _clock = new();
    private readonly TaskCompletionSource<DeliveryAnswer> _call = new();
    private readonly Delivery _delivery = new();
    private readonly LostCalls _calls;

    public LostCallsTests() => _calls = new LostCalls(null!, s_interval, _clock);

    [Fact]
    public async Task Call_that_its_grain_does_not_have_is_lost_after_an_interval()
    {
        using var call = Begin();
        _clock.Advance(s_interval - TimeSpan.FromTicks(1));
        Assert.Equal((0, 0), (_delivery.Looks, _delivery.Questions));
        _clock.Advance(TimeSpan.FromTicks(1));
        Assert.Equal((1, 1), (_delivery.Looks, _delivery.Questions));
        Assert.False(call.HasEnded);
        _clock.Advance(s_grace);
        Assert.Null(await call.Answer.WaitAsync(Wait.Deadline));
        // A failure that nothing waits for any more is looked at.
        _call.SetException(new TimeoutException("no answer"));
        Assert.Null(await call.Answer);
    }

    [Fact]
    public async Task Answer_that_comes_right_behind_that_of_the_question_wins()
    {
        using var call = Begin();
        _clock.Advance(s_interval);
        Assert.Equal(1, _delivery.Questions);
        _call.SetResult(s_served);
        _clock.Advance(s_grace);
        Assert.Same(s_served, await call.Answer.WaitAsync(Wait.Deadline));
    }

    [Fact]
    public async Task Grain_at_work_is_not_asked_the_question_that_waits_and_keeps_its_call()
    {
        _delivery.Current = static () => Task.FromResult<long?>(8);
        using var call = Begin();
        for (var round = 1; round <= 3; round++)
        {
            _clock.Advance(s_interval);
            Assert.Equal((round, 0), (_delivery.Looks, _delivery.Questions));
        }
        // A record of another delivery says nothing of this one.
        _delivery.Current = static () => Task.FromResult<long?>(9);
        _clock.Advance(s_interval);
        _clock.Advance(s_grace);
        Assert.Null(await call.Answer.WaitAsync(Wait.Deadline));
    }

    [Theory]
    [InlineData("it has the delivery")]
    [InlineData("it is busy")]
    [InlineData("it is of an earlier version")]
    [InlineData("it cannot be activated")]
    public async Task Grain_that_has_the_delivery_or_cannot_tell_keeps_its_call_and_is_asked_again(string why)
    {
        if (why == "it cannot be activated")
            _delivery.Current = static () => throw new IOException("the storage is away");
        _delivery.Has = () => why switch
        {
            "it has the delivery" => Task.FromResult(true),
            "it is busy" => Task.FromException<bool>(new TimeoutException()),
            _ => throw new NotSupportedException(),
        };
        using var call = Begin();
        for (var round = 1; round <= 3; round++)
        {
            _clock.Advance(s_interval);
            Assert.Equal(round, _delivery.Looks);
        }
        _clock.Advance(s_interval);
        Assert.False(call.HasEnded);
        _call.SetResult(s_served);
        Assert.Same(s_served, await call.Answer);
    }

    [Fact]
    public async Task Grain_is_asked_one_question_at_a_time_and_the_next_one_an_interval_after_its_answer()
    {
        var question = new TaskCompletionSource<bool>();
        _delivery.Has = () => question.Task;
        using var call = Begin();
        _clock.Advance(10 * s_interval);
        Assert.Equal((1, 1), (_delivery.Looks, _delivery.Questions));
        question.SetResult(true);
        await Wait.UntilAsync(() => call.Since is not null, "the answer of the question has arrived");
        _clock.Advance(s_interval - TimeSpan.FromTicks(1));
        Assert.Equal(1, _delivery.Questions);
        _delivery.Has = static () => Task.FromResult(false);
        _clock.Advance(s_interval);
        Assert.Equal(2, _delivery.Questions);
        _clock.Advance(s_grace);
        Assert.Null(await call.Answer.WaitAsync(Wait.Deadline));
    }

    [Fact]
    public async Task Call_that_is_answered_or_given_up_is_not_asked_about_and_leaves_no_timer()
    {
        using var ended = new CancellationTokenSource();
        var (answered, cancelled) = (Begin(), _calls.Begin(default, _delivery, new TaskCompletionSource<DeliveryAnswer>().Task,
            ended.Token));
        Assert.Equal(1, _clock.TimerCount);
        _call.SetResult(s_served);
        Assert.Same(s_served, await answered.Answer.WaitAsync(Wait.Deadline));
        await ended.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled.Answer.WaitAsync(Wait.Deadline));
        answered.Dispose();
        cancelled.Dispose();
        _clock.Advance(3 * s_interval);
        Assert.Equal((0, 0), (_delivery.Looks, _clock.TimerCount));
    }

    [Fact]
    public async Task Answer_between_the_two_questions_ends_them()
    {
        var look = new TaskCompletionSource<long?>();
        _delivery.Current = () => look.Task;
        using var call = Begin();
        _clock.Advance(s_interval);
        _call.SetResult(s_served);
        await call.Answer.WaitAsync(Wait.Deadline);
        look.SetResult(null);
        await Wait.UntilAsync(() => call.Since is not null, "the answer of the question has arrived");
        Assert.Equal((1, 0), (_delivery.Looks, _delivery.Questions));
    }

    [Fact]
    public async Task Failure_of_a_call_is_that_of_its_answer_also_where_it_has_failed_at_once()
    {
        using var call = Begin();
        _call.SetException(new IOException("away"));
        Assert.Equal("away", (await Assert.ThrowsAsync<IOException>(() => call.Answer)).Message);
        using var late = Begin();
        Assert.Equal("away", (await Assert.ThrowsAsync<IOException>(() => late.Answer)).Message);
    }

    private PendingCall Begin() => _calls.Begin(default, _delivery, _call.Task, CancellationToken.None);

    // Of one record, at offset 8.
    private sealed class Delivery : IGrainDelivery
    {
        public string Origin => "topic test";
        public string Installation => "AddOrleansMqConsumers()";
        public IEnumerable<long> Offsets => [8];
        public long Size => 1;
        public CancellationToken Ended => CancellationToken.None;
        public int Looks { get; private set; }
        public int Questions { get; private set; }
        public Func<Task<long?>> Current { get; set; } = static () => Task.FromResult<long?>(null);
        public Func<Task<bool>> Has { get; set; } = static () => Task.FromResult(false);

        public Task<DeliveryAnswer> CallAsync(IGrainFactory grains, GrainId grain, CancellationToken cancellationToken) =>
            throw new NotSupportedException();

        public Task<long?> FindCurrentAsync(IGrainFactory grains, GrainId grain)
        {
            Looks++;
            return Current();
        }

        public Task<bool> IsDeliveringAsync(IGrainFactory grains, GrainId grain)
        {
            Questions++;
            return Has();
        }
    }
}
