using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Partitions.Schedules;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Schedules;

/// <summary>What is asked of a topic before a record is scheduled for it.</summary>
public sealed class ScheduleLimitsTests : IAsyncLifetime
{
    private readonly ManualClock _clock = new();
    private LocalBroker _broker = null!;
    private TopicListing _topic = null!;

    public async Task InitializeAsync()
    {
        _broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = "/data", FileSystem = new MemoryFileSystem() });
        await _broker.CreateTopicAsync(new NewTopic("small", 1, Configs: new Dictionary<string, string> { ["max.message.bytes"] = "500" }));
        _topic = await _broker.GetTopicAsync("small");
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public async Task Topic_that_is_not_described_at_first_is_asked_again()
    {
        var limits = new ScheduleLimits(new Silent(_broker, times: 3), _clock);
        Assert.Equal(ErrorCode.MessageTooLarge, (await RefusalAsync(limits)).Code);
    }

    // The record could be one that its topic refuses when it is due.
    [Fact]
    public async Task Nothing_is_scheduled_for_a_topic_that_is_not_described()
    {
        var refusal = await RefusalAsync(new ScheduleLimits(new Silent(_broker, int.MaxValue), _clock));
        Assert.Equal(ErrorAction.Retry, refusal.Code.Action());
        Assert.Equal(ErrorCode.MessageTooLarge, (await RefusalAsync(new ScheduleLimits(_broker, _clock))).Code);
    }

    private async Task<BrokerException> RefusalAsync(ScheduleLimits limits)
    {
        var check = limits.CheckAsync(_topic, new NewSchedule("small") { Value = new byte[1_000] }, CancellationToken.None).AsTask();
        while (!check.IsCompleted)
        {
            _clock.Advance(TimeSpan.FromMilliseconds(100));
            await Task.Delay(1);
        }
        return await Assert.ThrowsAsync<BrokerException>(() => check);
    }

    private sealed class Silent(IBroker inner, int times) : ForwardingBroker(inner)
    {
        private int _asked;

        public override ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default) =>
            _asked++ < times ? throw new BrokerException(ErrorCode.LeaderNotAvailable, "not now")
                : base.DescribeTopicAsync(topic, cancellationToken);
    }
}
