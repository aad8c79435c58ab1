using System.Diagnostics;
using OrleansMq.Api;
using OrleansMq.Grains.Partitions;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Cluster.Partitions;

/// <summary>Leadership handover loses and duplicates nothing acknowledged; a retry covers requests in between.</summary>
public sealed class HandoverTests(PostgreSqlFixture postgres, ITestOutputHelper output) : ReplicatedClusterTests(postgres)
{
    [SkippableFact]
    public async Task Leadership_handover_under_load_loses_and_duplicates_nothing()
    {
        const int rounds = 6, between = 30;
        var partition = await Cluster.CreateAsync("orders", 0, null, 1, 2, 3);
        await partition.AppendAsync(1, "first");
        await partition.AllInSyncAsync();
        using var stop = new CancellationTokenSource();
        var (written, longest) = (0, TimeSpan.Zero);
        var writing = Task.Run(async () =>
        {
            var producer = new ProducerIdentity(1, 0);
            for (; !stop.IsCancellationRequested; written++)
            {
                var watch = Stopwatch.StartNew();
                await partition.AppendAsync(1 + (written % 3), TestBatches.From(producer, written, $"{written}"));
                longest = watch.Elapsed > longest ? watch.Elapsed : longest;
            }
        });
        for (var round = 1; round <= rounds; round++)
        {
            await Wait.UntilAsync(() => written >= round * between || writing.IsFaulted, "some were written");
            var successor = 1 + (round % 3);
            await partition.HandOverAsync(successor);
            Assert.Equal([successor], partition.Leaders);
            await partition.AllInSyncAsync();
        }
        await stop.CancelAsync();
        await writing;
        output.WriteLine($"{written} appends, the longest {longest.TotalMilliseconds:0} ms; epoch "
            + $"{(await partition.StateAsync()).State.LeaderEpoch}");
        Assert.Equal(Enumerable.Range(0, written).Select(i => $"{i}").Prepend("first"),
            (await partition.ReadAllAsync(2)).Select(record => record.Value));
    }

    [SkippableFact]
    public async Task Stopping_broker_hands_over_all_its_partitions_first()
    {
        const int count = 20;
        var partitions = await Task.WhenAll(Enumerable.Range(0, count).Select(i => Cluster.CreateAsync($"orders-{i}", 0, null, 2, 1, 3)));
        foreach (var partition in partitions)
        {
            await partition.AppendAsync(1, "a");
            await partition.AllInSyncAsync();
        }
        await Cluster.Get<LeadershipHandover>(2).HandOverAllAsync(TimeSpan.FromSeconds(20));
        // The other broker leads if broker 1 took too long, which is rare.
        await Wait.UntilAsync(() => partitions.All(partition => partition.Leaders is [not 2]), "others lead");
        Assert.Contains(partitions, partition => partition.Leaders is [1]);
        // A stopping broker takes no leadership back; another one leads.
        var refused = await Assert.ThrowsAsync<BrokerException>(() => partitions[0].Leader(2).HandOverAsync(2));
        Assert.Equal(ErrorAction.Retry, refused.Action);
        await Wait.UntilAsync(() => partitions.All(partition => partition.Leaders is [not 2]), "another one leads still");
        var leaders = partitions.Select(partition => partition.Leaders[0]).ToArray();
        await Cluster.StopAsync(2);
        Assert.Equal(leaders.Skip(1), partitions.Skip(1).Select(partition => Assert.Single(partition.Leaders)));
        Assert.Equal(1, await partitions[0].AppendAsync(3, "b"));
    }

    [SkippableFact]
    public async Task Preferred_replica_takes_over_on_request()
    {
        var partition = await Cluster.CreateAsync("orders", 0, null, 2, 1, 3);
        await partition.AppendAsync(1, "a");
        await partition.AllInSyncAsync();
        Assert.Equal(ErrorCode.ElectionNotNeeded,
            (await Assert.ThrowsAsync<BrokerException>(() => partition.Leader(1).ElectPreferredAsync())).Code);
        await Cluster.StopAsync(2);
        await Wait.UntilAsync(() => partition.Leaders is [1], "broker 1 leads");
        Assert.Equal(ErrorCode.PreferredLeaderNotAvailable,
            (await Assert.ThrowsAsync<BrokerException>(() => partition.Leader(3).ElectPreferredAsync())).Code);
        await Cluster.StartAsync(2);
        // The broker is not asked before it has caught up.
        await Wait.UntilAsync(async () =>
        {
            try
            {
                return await partition.Leader(3).ElectPreferredAsync() == 2;
            }
            catch (BrokerException leads) when (leads.Code == ErrorCode.ElectionNotNeeded)
            {
                return partition.Leaders is [2]; // The broker took over after the answer was sent.
            }
        }, "broker 2 leads again");
        Assert.Equal([2], partition.Leaders);
        Assert.Equal(1, await partition.AppendAsync(1, "b"));
    }
}
