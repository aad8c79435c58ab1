using OrleansMq.Cli.Clusters;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Tests.Process.Running;

namespace OrleansMq.Tests.Process.LocalClusters;

/// <summary>A silo of a local cluster over its successive processes, with a scripted program.</summary>
public sealed class SupervisedSiloTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [SkippableFact]
    public async Task Silo_that_lost_a_port_race_is_restarted_until_it_loses_repeatedly()
    {
        Skip.If(OperatingSystem.IsWindows(), "needs a shell");
        using var second = Silo($"test -e {_directory["tried"]} && echo '{{\"http\": \"http://127.0.0.1:1\"}}' && exec sleep 60; touch "
            + $"{_directory["tried"]}; exit 4");
        var running = second.RunAsync();
        Assert.Equal("http://127.0.0.1:1", (await second.FirstReady.WaitAsync(TimeSpan.FromSeconds(60))).Http);
        await second.StopAsync();
        await running;

        using var never = Silo("echo tried >> " + _directory["never"] + "; exit 4");
        await never.RunAsync().WaitAsync(TimeSpan.FromSeconds(60));
        await Assert.ThrowsAsync<CommandFailedException>(() => never.FirstReady);
        Assert.Equal(6, (await File.ReadAllLinesAsync(_directory["never"])).Length);

        using var other = Silo("echo tried >> " + _directory["other"] + "; exit 1");
        await other.RunAsync().WaitAsync(TimeSpan.FromSeconds(60));
        await Assert.ThrowsAsync<CommandFailedException>(() => other.FirstReady);
        Assert.Single(await File.ReadAllLinesAsync(_directory["other"]));
    }

    private SupervisedSilo Silo(string script) =>
        new(new SiloSpec(new RosterEntry(1, null), "c", "Host=x", _directory["data"], _directory["log"],
            ["/bin/sh", "-c", script], []), new ClusterEvents(json: true), restart: false);
}
