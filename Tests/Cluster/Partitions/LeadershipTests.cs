using System.Diagnostics;
using OrleansMq.Tests.PostgreSql.Server;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Cluster.Partitions;

/// <summary>The leadership of a replicated partition, from its creation through the death of its leaders.</summary>
public sealed class LeadershipTests(PostgreSqlFixture postgres, ITestOutputHelper output) : ReplicatedClusterTests(postgres)
{
    [SkippableFact]
    public async Task Preferred_replica_leads_for_every_caller()
    {
        foreach (var preferred in new[] { 3, 1, 2 })
        {
            var partition = await Cluster.CreateAsync($"orders-{preferred}", 0, null,
                [.. new[] { preferred }.Concat(Cluster.Running.Except([preferred]))]);
            Assert.Equal(preferred, await partition.Leader(from: 1).LeadAsync());
            Assert.Equal(0, await partition.AppendAsync(from: 2, "a"));
            Assert.Equal([preferred], partition.Leaders);
            var description = await partition.Grain(from: 3).DescribeAsync();
            Assert.Equal((preferred, 1), (description.Leader, description.LeaderEpoch));
        }
    }

    [SkippableFact]
    public async Task In_sync_replica_leads_after_the_leader_is_killed()
    {
        var partition = await Cluster.CreateAsync("orders", 0, null, 2, 1, 3);
        for (var i = 0; i < 10; i++)
            Assert.Equal(i, await partition.AppendAsync(from: 1, $"{i}"));
        await partition.AllInSyncAsync();
        var watch = Stopwatch.StartNew();
        await Cluster.KillAsync(2);
        await Wait.UntilAsync(() => partition.Leaders.Length == 1, "a new leader");
        output.WriteLine($"led again after {watch.ElapsedMilliseconds} ms");
        Assert.Equal([1], partition.Leaders);
        Assert.Equal(10, await partition.AppendAsync(from: 3, "10"));
        output.WriteLine($"written again after {watch.ElapsedMilliseconds} ms");
        Assert.Equal(Enumerable.Range(0, 11).Select(i => ((long)i, $"{i}")), await partition.ReadAllAsync(from: 3));
    }

    [SkippableFact]
    public async Task Idle_partitions_fail_over_without_calls()
    {
        const int count = 300;
        var partitions = await Task.WhenAll(Enumerable.Range(0, count)
            .Select(i => Cluster.CreateAsync($"orders-{i}", 0, null, 3, 1 + (i % 2), 2 - (i % 2))));
        await Parallel.ForEachAsync(partitions, async (partition, _) => await partition.AppendAsync(from: 1, "a"));
        foreach (var partition in partitions)
            await partition.AllInSyncAsync();
        var watch = Stopwatch.StartNew();
        await Cluster.KillAsync(3);
        await Wait.UntilAsync(() => partitions.Count(partition => partition.Leaders.Length == 1) >= count / 2, "half of them are led");
        output.WriteLine($"{count / 2} led again after {watch.ElapsedMilliseconds} ms");
        await Wait.UntilAsync(() => partitions.All(partition => partition.Leaders.Length == 1), "all are led");
        output.WriteLine($"{count} led again after {watch.ElapsedMilliseconds} ms");
        // The dead broker's load is shared by replica order. Which broker leads a single partition depends on which answered in time; a
        // busy one is skipped.
        Assert.All(partitions, partition => Assert.Single(partition.Leaders));
        Assert.All(new[] { 1, 2 },
            broker => Assert.InRange(partitions.Count(partition => partition.Leaders[0] == broker), count / 4, count * 3 / 4));
        Assert.Equal(1, await partitions[^1].AppendAsync(from: 2, "b"));
    }
}
