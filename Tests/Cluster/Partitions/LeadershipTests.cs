using System.Diagnostics;
using OrleansMq.PostgreSql.Schema;
using OrleansMq.Tests.PostgreSql.Server;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Cluster.Partitions;

/// <summary>Who leads a replicated partition, from its creation through the death of its leaders.</summary>
public sealed class LeadershipTests(PostgreSqlFixture postgres, ITestOutputHelper output) : IClassFixture<PostgreSqlFixture>, IAsyncLifetime
{
    private ReplicatedCluster _cluster = null!;

    public async Task InitializeAsync()
    {
        var database = await postgres.DatabaseAsync();
        await SchemaMigration.ApplyAsync(database);
        _cluster = await ReplicatedCluster.StartAsync(database);
    }

    public async Task DisposeAsync()
    {
        if (_cluster is not null)
            await _cluster.DisposeAsync();
    }

    [SkippableFact]
    public async Task The_preferred_replica_leads_whoever_calls()
    {
        foreach (var preferred in new[] { 3, 1, 2 })
        {
            var partition = await _cluster.CreateAsync($"orders-{preferred}", 0, null, [.. new[] { preferred }.Concat(_cluster.Running.Except([preferred]))]);
            Assert.Equal(preferred, await partition.Leader(from: 1).LeadAsync());
            Assert.Equal(0, await partition.AppendAsync(from: 2, "a"));
            Assert.Equal([preferred], partition.Leaders);
            var description = await partition.Grain(from: 3).DescribeAsync();
            Assert.Equal((preferred, 1), (description.Leader, description.LeaderEpoch));
        }
    }

    [SkippableFact]
    public async Task Another_in_sync_replica_leads_when_the_leader_was_killed()
    {
        var partition = await _cluster.CreateAsync("orders", 0, null, 2, 1, 3);
        for (var i = 0; i < 10; i++)
            Assert.Equal(i, await partition.AppendAsync(from: 1, $"{i}"));
        await partition.AllInSyncAsync();
        var watch = Stopwatch.StartNew();
        await _cluster.KillAsync(2);
        await Wait.UntilAsync(() => partition.Leaders.Length == 1, "a new leader");
        output.WriteLine($"led again after {watch.ElapsedMilliseconds} ms");
        Assert.Equal([1], partition.Leaders);
        Assert.Equal(10, await partition.AppendAsync(from: 3, "10"));
        output.WriteLine($"written again after {watch.ElapsedMilliseconds} ms");
        Assert.Equal(Enumerable.Range(0, 11).Select(i => ((long)i, $"{i}")), await partition.ReadAllAsync(from: 3));
    }
}
