using OrleansMq.Api;
using OrleansMq.PostgreSql.Servers;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Running;

namespace OrleansMq.Tests.Chaos.Network;

/// <summary>Silo processes that this process starts itself. A silo that ends is restarted.</summary>
internal abstract class SupervisedCluster(PrivatePostgreSql database, string databaseDirectory, RunLog log)
    : RunningCluster(database, databaseDirectory, log)
{
    private static readonly TimeSpan RestartPause = TimeSpan.FromMilliseconds(250);

    // Held while a process starts: one that runs is known, and none starts after the stop.
    private readonly Lock _starting = new();
    private readonly Dictionary<int, StartedProgram> _running = [];
    private readonly List<Task> _supervising = [];
    private readonly CancellationTokenSource _stop = new();

    /// <summary>The processes as last started, by the broker's number.</summary>
    protected IReadOnlyDictionary<int, StartedProgram> Processes
    {
        get
        {
            lock (_starting)
                return new Dictionary<int, StartedProgram>(_running);
        }
    }

    public override string Said() => string.Join('\n', Processes.Select(silo => $"broker {silo.Key}:\n{silo.Value.Said()}"));

    public override async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        BeforeStop();
        var ended = Task.WhenAll(_supervising);
        foreach (var silo in Processes.Values.Where(static silo => !silo.HasExited))
        {
            Signals.TrySend(silo.Id, Signals.Terminate);
            Signals.TrySend(silo.Id, Signals.Continue);
        }
        await Task.WhenAny(ended, Task.Delay(TimeSpan.FromSeconds(30)));
        // Their supervisors dispose of them.
        foreach (var silo in Processes.Values.Where(static silo => !silo.HasExited))
            Signals.TrySend(silo.Id, Signals.Kill);
        await ended;
        await AfterStopAsync();
        await base.DisposeAsync();
    }

    /// <summary>Lets the silos stop in order.</summary>
    protected virtual void BeforeStop() { }

    /// <summary>Releases what the silos used.</summary>
    protected virtual ValueTask AfterStopAsync() => default;

    /// <summary>Starts a silo, and again whenever it has ended.</summary>
    /// <param name="brokerId">The broker's number.</param>
    /// <param name="flags">The program and its flags.</param>
    /// <param name="announced">Reads a line of its output: the silo, if the line says that it serves. Given the process id.</param>
    /// <param name="environment">Environment variables; null for none.</param>
    protected void Supervise(int brokerId, string[] flags, Func<string, int, Silo?> announced,
        IReadOnlyDictionary<string, string>? environment = null) =>
        _supervising.Add(Task.Run(() => SuperviseAsync(brokerId, flags, announced, environment)));

    /// <summary>Supervises silos of a cluster that was just made. Returns when all brokers are active; a failure ends them.</summary>
    /// <param name="cluster">The cluster.</param>
    /// <param name="silos">Their number.</param>
    /// <param name="supervise">Supervises the silo of a broker.</param>
    /// <returns>The cluster.</returns>
    protected static async Task<T> StartedAsync<T>(T cluster, int silos, Action<T, int> supervise) where T : SupervisedCluster
    {
        try
        {
            foreach (var brokerId in Enumerable.Range(1, silos))
                supervise(cluster, brokerId);
            await cluster.UntilActiveAsync(silos);
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    // Waits until all silos serve, and all brokers are active.
    private async Task UntilActiveAsync(int silos)
    {
        using var patience = new CancellationTokenSource(StartPatience);
        while (Silos.Count < silos)
        {
            if (patience.IsCancellationRequested)
                throw new TimeoutException($"{Silos.Count} of {silos} silos serve. {Said()}");
            await Task.Delay(20, CancellationToken.None);
        }
        using var client = new ClusterClient(Addresses, TimeSpan.FromSeconds(4));
        while ((await client.Patient.DescribeClusterAsync(patience.Token)).Brokers.Count(static broker =>
            broker.State == BrokerState.Active) < silos)
            await Task.Delay(100, patience.Token);
    }

    private async Task SuperviseAsync(int brokerId, string[] flags, Func<string, int, Silo?> announced,
        IReadOnlyDictionary<string, string>? environment)
    {
        while (true)
        {
            // The first line may come before the process id is known here.
            var process = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
            if (StartUnlessStopped(brokerId, () => new StartedProgram(Programs.DotNet, flags, Hear, environment)) is not { } silo)
                return;
            await using var disposed = silo;
            process.SetResult(silo.Id);
            var exitCode = await silo.ExitAsync();
            CountEnd(exitCode);
            Log.Note($"broker {brokerId}, process {silo.Id}, ended with code {exitCode}");
            await Task.WhenAny(Task.Delay(RestartPause, _stop.Token));

            void Hear(string line)
            {
                Log.Note($"{brokerId}| {line}");
                if (announced(line, process.Task.GetAwaiter().GetResult()) is { } serving)
                    Announce(serving);
            }
        }
    }

    private StartedProgram? StartUnlessStopped(int brokerId, Func<StartedProgram> start)
    {
        lock (_starting)
        {
            if (_stop.IsCancellationRequested)
                return null;
            var silo = start();
            _running[brokerId] = silo;
            return silo;
        }
    }
}
