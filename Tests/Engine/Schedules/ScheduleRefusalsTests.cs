using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Partitions.Schedules;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Schedules;

/// <summary>What is asked of topics that refused due records lately.</summary>
public sealed class ScheduleRefusalsTests
{
    [Fact]
    public async Task Topics_that_are_not_described_are_waited_for_together()
    {
        var options = new BrokerOptions { DataDirectory = "/data", FileSystem = new MemoryFileSystem() };
        await using var inner = await LocalBroker.OpenAsync(options);
        var (broker, clock) = (new Silent(inner), new ManualClock());
        var refusals = new ScheduleRefusals(broker, clock);
        Guid[] ids = [Guid.NewGuid(), Guid.NewGuid(), Guid.NewGuid()];
        foreach (var id in ids)
            refusals.Note($"{id}", id);

        var finding = refusals.FindAsync(ids, CancellationToken.None).AsTask();

        Assert.Equal(ids.Select(static id => $"{id}").Order(), broker.Asked.Order());
        Assert.False(finding.IsCompleted);
        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Empty(await finding);
    }

    private sealed class Silent(IBroker inner) : ForwardingBroker(inner)
    {
        public ConcurrentQueue<string> Asked { get; } = [];

        public override async ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default)
        {
            Asked.Enqueue(topic);
            await new TaskCompletionSource().Task;
            throw new InvalidOperationException();
        }
    }
}
