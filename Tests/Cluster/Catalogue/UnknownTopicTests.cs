using System.Collections.Concurrent;
using System.Diagnostics;
using OrleansMq.Api;
using OrleansMq.Grains;
using OrleansMq.Grains.Topics;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>Lookups of a topic that does not exist, or not yet.</summary>
public sealed class UnknownTopicTests
{
    [Fact]
    public async Task Lookups_and_the_creation_that_follows_them_meet_one_activation()
    {
        var activations = new ConcurrentDictionary<object, bool>(ReferenceEqualityComparer.Instance);
        using var data = new TempDirectory();
        await using var silo = await TestSilo.StartAsync(data.Path, host => host.AddIncomingGrainCallFilter(call =>
        {
            if (call.Grain is TopicGrain grain && grain.GetPrimaryKeyString() == "orders")
                activations[grain] = true;
            return call.Invoke();
        }));

        var began = Stopwatch.GetTimestamp();
        var topic = silo.Client.GetGrain<ITopicGrain>("orders");
        for (var i = 0; i < 3; i++)
            Assert.Null(await topic.FindAsync(default));
        Assert.All(await Task.WhenAll(Enumerable.Range(0, 100).Select(_ => topic.FindAsync(default))), Assert.Null);
        await silo.Outside.CreateTopicAsync(new NewTopic("orders", 1, 1));
        Assert.NotNull(await topic.FindAsync(default));

        // On a slow machine one may have left meanwhile.
        Assert.InRange(activations.Count, 1, 1 + (int)(Stopwatch.GetElapsedTime(began) / TopicGrain.LeaveAfter));
    }

    [Fact]
    public async Task Invented_names_leave_no_activations()
    {
        using var data = new TempDirectory();
        await using var silo = await TestSilo.StartAsync(data.Path);

        for (var i = 0; i < 50; i++)
            Assert.Null(await silo.Client.GetGrain<ITopicGrain>($"invented-{i}").FindAsync(default));

        await Wait.UntilAsync(async () => !(await silo.Client.GetGrain<IManagementGrain>(0).GetDetailedGrainStatistics())
            .Any(static statistic => statistic.GrainId.Type == GrainType.Create(TopicGrain.TypeName)), "none is left");
    }
}
