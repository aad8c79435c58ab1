using System.Runtime.CompilerServices;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Chaos.Queues.Shares;

/// <summary>The members of a share group: Apache Kafka's share consumer over the Kafka port, each in its own process. One that is killed is
/// replaced.</summary>
internal sealed class ShareFleet(RunningCluster cluster, int members, ShareHistory history) : IAsyncDisposable
{
    private const string Group = "shared";

    private readonly List<Member> _all = [];
    private readonly List<Member> _living = [];

    /// <summary>Failures of members that were neither killed nor stopped.</summary>
    public IEnumerable<string> Failures => _all.Select(static member => member.Failure).OfType<string>();

    public void Start()
    {
        for (var i = 0; i < members; i++)
            Add();
    }

    /// <summary>Kills one with SIGKILL and starts another.</summary>
    public async Task ReplaceOneAsync(int choice)
    {
        var victim = _living[choice % _living.Count];
        _living.Remove(victim);
        cluster.Log.Tell($"{victim.Name} is killed");
        victim.WasKilled = true;
        Signals.TrySend(victim.Program.Id, Signals.Kill);
        await victim.Program.ExitAsync();
        Add();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var member in _all)
            await member.Program.DisposeAsync();
    }

    private void Add()
    {
        var name = $"share-{_all.Count + 1}";
        var brokers = string.Join(',', cluster.Silos.Select(static silo => silo.Kafka));
        var member = new Member(name, new StartedProgram(ClientProgram.Require("java"),
            ClientProgram.Java(SourceOfConsumer(), brokers, Group, QueueLoad.Topic), line =>
            {
                if (ShareEvent.Parse(line) is { } seen)
                    history.Take(seen);
                else
                    cluster.Log.Note($"{name}: {line}");
            }));
        _all.Add(member);
        _living.Add(member);
    }

    private static string SourceOfConsumer([CallerFilePath] string path = "") =>
        Path.Combine(Path.GetDirectoryName(path)!, "ShareConsumer.java");

    private sealed record Member(string Name, StartedProgram Program)
    {
        public bool WasKilled { get; set; }

        public string? Failure => !WasKilled && Program.HasExited ? $"{Name}: {Program.Said()}" : null;
    }
}
