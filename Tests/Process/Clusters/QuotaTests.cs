using System.Text.Json;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.Clusters;

/// <summary>Quotas of three silos: one broker's change holds on all, and they share the limit.</summary>
[Collection(SharedCluster.Name)]
public sealed class QuotaTests(SharedCluster shared)
{
    private const string User = "ANONYMOUS";

    [SkippableFact]
    public async Task Limit_that_one_broker_takes_is_known_to_all_and_goes_where_it_is_used()
    {
        var cluster = await shared.UpAsync();
        string[] servers = [.. cluster.Brokers.Values.Select(static broker => broker.GetProperty("http").GetString()!)];
        (await cluster.OmqAsync(["topic", "create", "quotas", "--partitions", "3", "--replication-factor", "3"])).Expect(0);
        await cluster.LedAsync("quotas");
        await OmqAsync(servers[0], "set", "--user", User, "producer_byte_rate=30000000");
        try
        {
            foreach (var server in servers)
                Assert.Contains("30000000", (await OmqAsync(server, "list")).Text, StringComparison.Ordinal);
            // The others say that they use nothing of it: without that it would have a third.
            foreach (var server in servers)
                await RunningCluster.UntilAsync(() => ShareAsync(server), static share => share > 25_000_000, "nearly all of the limit");
        }
        finally
        {
            await OmqAsync(servers[1], "remove", "--user", User, "producer_byte_rate");
        }
        foreach (var server in servers)
            Assert.StartsWith("No quotas.", (await OmqAsync(server, "list")).Text, StringComparison.Ordinal);
    }

    // The share of the limit that a broker has, after it was used there.
    private static async Task<double> ShareAsync(string server)
    {
        (await RunningProgram.OmqAsync(["produce", "quotas", "--server", server], input: "one\n"u8.ToArray())).Expect(0);
        return JsonSerializer.Deserialize<JsonElement>((await OmqAsync(server, "usage", "--json")).Text).EnumerateArray()
            .Where(static one => one.GetProperty("quota").GetString() == "producer_byte_rate"
                && one.GetProperty("user").GetString() == User)
            .Select(static one => one.GetProperty("share").GetDouble()).SingleOrDefault();
    }

    private static async Task<Outcome> OmqAsync(string server, params string[] arguments) =>
        (await RunningProgram.OmqAsync(["quota", .. arguments, "--server", server])).Expect(0);
}
