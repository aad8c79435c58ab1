namespace OrleansMq.Tests.Packages.Silos;

/// <summary>A cluster on this machine with nothing but the two tools.</summary>
[Collection(PackageFeedCollection.Name)]
public sealed class ToolClusterTests(PackageFeed feed)
{
    private const int Interrupt = 2;

    [SkippableFact]
    public async Task Installed_command_line_starts_a_cluster_of_the_installed_broker()
    {
        Skip.IfNot(Directory.Exists("/usr/lib/postgresql"), "needs PostgreSQL's server programs");
        await feed.InstallToolAsync("OrleansMq.Broker", "orleansmq");
        var omq = await feed.InstallToolAsync("OrleansMq.Cli", "omq");

        await using var cluster = feed.Start(omq, ["cluster", "up", "--silos", "2"]);
        await cluster.LineAsync(static line => line.StartsWith("2 brokers run", StringComparison.Ordinal));
        var server = (await cluster.LineAsync(static line => line.Contains("OMQ_SERVER=", StringComparison.Ordinal))).Split('=', 2)[1];

        Assert.Contains("broker", (await feed.RunAsync(omq, ["cluster", "status", "--server", server])).Expect(0).Text,
            StringComparison.OrdinalIgnoreCase);
        cluster.Signal(Interrupt);
        (await cluster.ExitAsync()).Expect(0);
    }
}
