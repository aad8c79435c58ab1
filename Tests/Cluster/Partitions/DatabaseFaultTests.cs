using OrleansMq.Api;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Partitions;

/// <summary>Leaders while the database with their states is down.</summary>
public sealed class DatabaseFaultTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    [SkippableFact]
    public async Task Leaders_continue_without_the_database_and_operations_that_need_it_fail_clearly()
    {
        var (served, leaderless) = (await LedAsync("served"), await LedAsync("leaderless"));
        await Postgres.Server.StopAsync();

        // Callers that have called before, and callers that have not and find the leader by asking the brokers.
        for (var i = 1; i <= 30; i++)
            Assert.Equal(i, await served.AppendAsync(1 + (i % 3), $"{i}"));
        Assert.Equal(31, (await served.ReadAllAsync(3)).Count);

        leaderless.ReplicaOn(1)!.StopLeading("the test says so");
        var refused = await leaderless.TryAppendAsync(2, TestBatches.Of("x"));
        Assert.Equal((ErrorCode.LeaderNotAvailable, ErrorAction.Retry), (refused.Error, refused.Error.Action()));
        Assert.Contains("database", refused.Message, StringComparison.Ordinal);

        await Postgres.Server.StartAsync();
        await Wait.UntilAsync(() => leaderless.Leaders.Length == 1, "a leader again without a call");
        Assert.Equal(1, await leaderless.AppendAsync(2, "1"));
        Assert.Equal(31, await served.AppendAsync(2, "31"));
        await served.AllInSyncAsync();
        await leaderless.AllInSyncAsync();
    }

    [SkippableFact]
    public async Task Database_killed_during_writes_loses_and_duplicates_no_record()
    {
        var partition = await LedAsync("orders");
        using var stop = new CancellationTokenSource();
        var (written, handed) = (0, 0);
        var writing = Task.Run(async () =>
        {
            for (var producer = new ProducerIdentity(1, 0); !stop.IsCancellationRequested; written++)
                await partition.AppendAsync(1 + (written % 3), TestBatches.From(producer, written, $"{written}"));
        });
        var moving = Task.Run(async () =>
        {
            for (var successor = 2; !stop.IsCancellationRequested; successor = 1 + (successor % 3))
            {
                handed += await TryHandOverAsync(partition, successor) ? 1 : 0;
                await Task.Delay(TimeSpan.FromMilliseconds(50)); // No state is written during a handover in progress.
            }
        });
        for (var round = 1; round <= 3; round++)
        {
            var (writtenBefore, handedBefore) = (written, handed);
            await Wait.UntilAsync(() => (written > writtenBefore + 20 && handed > handedBefore + 1) || writing.IsFaulted
                || moving.IsFaulted, "it goes on");
            await Postgres.Server.KillAsync();
            await Postgres.Server.StartAsync();
        }
        var (last, lastHanded) = (written, handed);
        await Wait.UntilAsync(() => (written > last && handed > lastHanded) || writing.IsFaulted || moving.IsFaulted, "all is well again");
        await stop.CancelAsync();
        await Task.WhenAll(writing, moving);
        await partition.AllInSyncAsync();
        Assert.Equal(Enumerable.Range(0, written).Select(i => $"{i}").Prepend("0"),
            (await partition.ReadAllAsync(1)).Select(record => record.Value));
        Assert.Equal(partition.ReplicaOn(partition.Leaders.Single())!.LeaderEpoch, (await partition.StateAsync()).State.LeaderEpoch);
    }

    private protected override async Task BeforeStopAsync()
    {
        if (!Postgres.Server.IsRunning)
            await Postgres.Server.StartAsync();
    }

    private static async Task<bool> TryHandOverAsync(TestPartition partition, int successor)
    {
        try
        {
            return await partition.Leader(successor).HandOverAsync(successor) == successor;
        }
        catch (Exception failure) when (failure is BrokerException or TimeoutException or OrleansException)
        {
            return false; // The database is down, or the successor is not in sync.
        }
    }

    private async Task<TestPartition> LedAsync(string topic)
    {
        var partition = await Cluster.CreateAsync(topic, 0, null, 1, 2, 3);
        Assert.Equal(0, await partition.AppendAsync(1, "0"));
        await partition.AllInSyncAsync();
        return partition;
    }
}
