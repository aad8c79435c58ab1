using System.Text;
using System.Text.Json;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.ProcessClusters;

/// <summary>The commands of Client/README.md for a cluster: a broker dies and comes back, another joins, one leaves, and no record is
/// missing.</summary>
public sealed class ClusterTourTests
{
    private const int Lines = 100_000;

    [SkippableFact]
    public async Task Broker_killed_under_load_loses_and_duplicates_no_record()
    {
        await using var cluster = await RunningCluster.UpAsync(3, "--restart");
        (await cluster.OmqAsync(["topic", "create", "numbers", "--partitions", "3", "--replication-factor", "3"])).Expect(0);
        var input = new SteppedStream();
        await using var producer = new RunningProgram(Repository.Launcher, ["produce", "numbers", "--server", cluster.Servers],
            input: input);
        input.Give(Numbers(0, Lines / 2));
        (await cluster.OmqAsync(["consume", "numbers", "--max", "1000"])).Expect(0);

        // The broker that the client is connected to.
        cluster.Kill(1);
        input.Give(Numbers(Lines / 2, Lines));
        input.End();

        (await producer.ExitAsync()).Expect(0);
        await AssertAllThereAsync(cluster);
        await cluster.LineAsync(line => line.TryGetProperty("brokerId", out var id) && id.GetInt32() == 1
            && line.GetProperty("pid").GetInt32() != cluster.PidOf(1));
        await cluster.HealthyAsync();
        (await cluster.EndAsync()).Expect(0);
    }

    [SkippableFact]
    public async Task Broker_joins_and_gets_its_share_and_another_leaves()
    {
        await using var cluster = await RunningCluster.UpAsync(3);
        (await cluster.OmqAsync(["topic", "create", "numbers", "--partitions", "6", "--replication-factor", "3"])).Expect(0);
        (await cluster.OmqAsync(["produce", "numbers"], Numbers(0, Lines))).Expect(0);

        (await RunningProgram.OmqAsync(["cluster", "add", "--data", cluster.Data])).Expect(0);
        var plan = Json(await cluster.OmqAsync(["cluster", "rebalance", "--json"]));
        Assert.NotEmpty(plan.GetProperty("moves").EnumerateArray());
        await BrokersAsync(cluster, static brokers => brokers is [_, _, _, var fourth] && fourth.GetProperty("replicas").GetInt32() == 0,
            "broker 4 to be known, without a replica");
        Assert.Equal("completed", Json(await cluster.OmqAsync(["cluster", "rebalance", "--execute", "--wait", "--json"]))
            .GetProperty("state").GetString());
        await BrokersAsync(cluster, static brokers => brokers[3].GetProperty("replicas").GetInt32() is 4 or 5,
            "broker 4 to have its share");

        Assert.Equal("completed", Json(await cluster.OmqAsync(["broker", "drain", "1", "--wait", "--json"])).GetProperty("state")
            .GetString());
        (await cluster.OmqAsync(["broker", "remove", "1"])).Expect(1); // Broker 1 is alive.
        cluster.Kill(1);
        await AwaitAsync(async () => (await cluster.OmqAsync(["broker", "remove", "1"])).ExitCode == 0, "broker 1 to be removed");
        await cluster.HealthyAsync();
        await AssertAllThereAsync(cluster);
        (await cluster.EndAsync()).Expect(0);
    }

    private static async Task AssertAllThereAsync(RunningCluster cluster)
    {
        var read = (await cluster.OmqAsync(["consume", "numbers", "--max", $"{Lines}"])).Expect(0);
        Assert.Equal(Enumerable.Range(0, Lines), read.Lines.Select(int.Parse).Order());
    }

    // Polls, since the broker that answers learns of a change a little later than the one that made it.
    private static Task BrokersAsync(RunningCluster cluster, Func<JsonElement[], bool> areWanted, string what) =>
        RunningCluster.UntilAsync(() => cluster.AskAsync("cluster", "status"),
            status => areWanted([.. status.GetProperty("brokers").EnumerateArray()]), what);

    private static async Task AwaitAsync(Func<Task<bool>> condition, string what)
    {
        using var deadline = new CancellationTokenSource(RunningProgram.Patience);
        while (!await condition())
        {
            Assert.False(deadline.IsCancellationRequested, $"Timed out waiting for {what}.");
            await Task.Delay(200, CancellationToken.None);
        }
    }

    private static JsonElement Json(Outcome outcome) => JsonSerializer.Deserialize<JsonElement>(outcome.Expect(0).Text);

    private static byte[] Numbers(int from, int to) =>
        Encoding.ASCII.GetBytes(string.Concat(Enumerable.Range(from, to - from).Select(number => $"{number}\n")));
}
