using OrleansMq.Diagnostics;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Amqp.Queues;

/// <summary>Purges of a queue whose leader does not answer.</summary>
public sealed class UnansweredPurgeTests : SlowLeaderTests
{
    [Fact]
    public async Task Purge_without_an_answer_is_repeated_and_takes_nothing_that_was_published_meanwhile()
    {
        var state = new QueueState { Name = "own", Id = 77, Durable = true };
        await using var queue = await LogQueue.OpenAsync(Broker, "/", state, PolicySet.Empty.SettingsOf(state),
            await Gateway.Gateway.OpenQueuesAsync(), Clock, EngineLog.Silent, static () => new(true));
        Assert.Equal(PublishOutcome.Accepted, await queue.PublishAsync(Message()));
        var attempts = 0;
        Broker.Script.Purge = async forward =>
        {
            if (++attempts == 1)
            {
                Assert.Equal(PublishOutcome.Accepted, await queue.PublishAsync(Message()));
                throw new BrokerException(ErrorCode.RequestTimedOut, "No answer came.");
            }
            await forward();
        };
        var purging = queue.PurgeAsync().AsTask();
        await Clock.AdvanceUntilAsync(purging, TimeSpan.FromSeconds(10), ClockSteps.Small);
        Assert.Equal((1L, 2), (await purging, attempts));
        Assert.Equal(1, await ((IAmqpQueue)queue).CountAsync());
    }

    private static AmqpMessage Message() => new("", "own", ContentProperties.None, "m"u8.ToArray(), 0);
}
