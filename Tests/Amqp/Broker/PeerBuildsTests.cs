using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Hosting;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Amqp.Broker;

/// <summary>Whether queues may be in memory, by what another broker answers.</summary>
public sealed class PeerBuildsTests : TwoGateways
{
    // Longer than an answer counts, and than the pause between two questions.
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(61);
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(6);

    private readonly ManualClock _clock = new();

    [Fact]
    public async Task Broker_that_has_answered_yes_is_taken_for_one_that_does_while_it_is_asked_again()
    {
        var builds = Builds();
        Assert.True(await builds.AllReadMemoryAsync());
        _clock.Advance(Long);
        var answer = Pending();
        Assert.True(await builds.AllReadMemoryAsync());
        answer.SetResult(null);
        Assert.True(await builds.AllReadMemoryAsync());
        _clock.Advance(Pause);
        Pending();
        Assert.True(await builds.AllReadMemoryAsync());
        // Not for ever.
        _clock.Advance(Long);
        Assert.False(await InTimeAsync(builds));
    }

    [Fact]
    public async Task Broker_that_has_answered_no_is_not_taken_for_one_that_once_said_yes()
    {
        var builds = Builds();
        Assert.True(await builds.AllReadMemoryAsync());
        Peers.ReadsMemory = static () => Task.FromResult<bool?>(false);
        Assert.True(await builds.AllReadMemoryAsync());
        _clock.Advance(Long);
        Assert.False(await builds.AllReadMemoryAsync());
        _clock.Advance(Pause);
        var answer = Pending();
        Assert.False(await InTimeAsync(builds));
        answer.SetResult(true);
        Assert.True(await builds.AllReadMemoryAsync());
    }

    private PeerBuilds Builds() => new(new HostedBroker(101, LocalBroker.ClusterId, LocalBroker.Access, LocalBroker.Access.Broker,
        LocalBroker.Metadata, LocalBroker) { Peers = Peers }, _clock);

    private TaskCompletionSource<bool?> Pending()
    {
        var answer = new TaskCompletionSource<bool?>();
        Peers.ReadsMemory = () => answer.Task;
        return answer;
    }

    // The answer is waited for some time.
    private async Task<bool> InTimeAsync(PeerBuilds builds)
    {
        var asking = builds.AllReadMemoryAsync().AsTask();
        while (!asking.IsCompleted)
        {
            _clock.Advance(TimeSpan.FromMilliseconds(100));
            await Task.Yield();
        }
        return await asking;
    }
}
