using OrleansMq.Api;
using OrleansMq.Grains.Brokers;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Cluster.Brokers;

public sealed class BrokerDeathsTests
{
    private readonly ManualClock _clock = new();
    private readonly TaskCompletionSource<int> _call = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int[] _dead = [];
    private int _questions;
    private Action _onQuestion = () => { };

    private BrokerDeaths Deaths => field ??= new BrokerDeaths(() =>
        {
        _questions++;
        _onQuestion();
        return Task.FromResult(new ClusterDescription("c", "cluster", [.. new[] { 1, 2 }.Select(broker =>
            new BrokerDescription(broker, "", 0, 0, "", _dead.Contains(broker) ? BrokerState.Dead : BrokerState.Active))]));
    }, _clock);

    [Fact]
    public async Task Call_ends_when_a_broker_died_without_answering()
    {
        var answer = Deaths.AnswerAsync(_call.Task);
        _dead = [1];
        await RunUntilAsync(() => answer.IsCompleted, "the call is given up");
        var given = await Assert.ThrowsAsync<TimeoutException>(() => answer);
        Assert.Contains("Broker 1 died", given.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Call_answered_after_a_death_returns_its_answer()
    {
        var answer = Deaths.AnswerAsync(_call.Task);
        _dead = [1];
        _onQuestion = () => _call.TrySetResult(7); // At the moment the death is reported.
        await RunUntilAsync(() => answer.IsCompleted, "the call is answered");
        Assert.Equal(7, await answer);
        Assert.Equal(2, _questions);
    }

    [Fact]
    public async Task Call_waits_while_all_brokers_are_alive()
    {
        var answer = Deaths.AnswerAsync(_call.Task);
        await RunUntilAsync(() => _questions >= 10, "membership was queried repeatedly");
        Assert.False(answer.IsCompleted);
        _call.SetResult(7);
        Assert.Equal(7, await answer);
    }

    [Fact]
    public async Task Fault_of_the_call_is_returned()
    {
        var answer = Deaths.AnswerAsync(_call.Task);
        _call.SetException(new BrokerException(ErrorCode.InvalidTopic, "no"));
        Assert.Equal(ErrorCode.InvalidTopic, (await Assert.ThrowsAsync<BrokerException>(() => answer)).Code);

        // A call that itself ends by timeout is not awaited further.
        var late = Deaths.AnswerAsync(Task.FromException<int>(new TimeoutException("late")));
        Assert.Equal("late", (await Assert.ThrowsAsync<TimeoutException>(() => late)).Message);
    }

    private Task RunUntilAsync(Func<bool> condition, string what) => Wait.UntilAsync(() =>
        {
        _clock.Advance(TimeSpan.FromSeconds(1));
        return condition();
    }, what);
}
