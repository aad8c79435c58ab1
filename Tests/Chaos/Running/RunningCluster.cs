using System.Collections.Concurrent;
using OrleansMq.PostgreSql.Servers;

namespace OrleansMq.Tests.Chaos.Running;

/// <summary>Silo processes on this machine over a database that belongs to the test, so that both can be broken. Derived classes start the
/// silos and restart them after a kill.</summary>
internal abstract class RunningCluster(PrivatePostgreSql database, string databaseDirectory, RunLog log) : IAsyncDisposable
{
    /// <summary>The start timeout of a silo. It starts within seconds, but a machine with two busy cores may take much longer.</summary>
    public static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(90);

    // The exit code of a silo that was declared dead by the others.
    private const int EvictedExitCode = 3;

    private readonly ConcurrentDictionary<int, Silo> _silos = new();
    private int _evictions;

    public PrivatePostgreSql Database { get; } = database;

    public RunLog Log { get; } = log;

    /// <summary>The silos as last announced, by number, including one that was killed a moment ago.</summary>
    public IReadOnlyList<Silo> Silos => [.. _silos.Values.OrderBy(silo => silo.BrokerId)];

    /// <summary>The addresses of the silos' HTTP API.</summary>
    public IReadOnlyList<Uri> Addresses => [.. _silos.Values.Select(silo => silo.Http)];

    public Silo this[int brokerId] => _silos[brokerId];

    /// <summary>Starts a new database server that the test owns. Returns null if the machine has no PostgreSQL.</summary>
    public static async Task<(PrivatePostgreSql Server, string Directory)?> StartDatabaseAsync()
    {
        if (PostgreSqlInstallation.Find() is not { } installation)
            return null;
        var directory = Directory.CreateTempSubdirectory("omq-pg-").FullName;
        return (await PrivatePostgreSql.StartAsync(installation, directory), directory);
    }

    /// <summary>Kills a process. Its supervisor restarts it.</summary>
    public void Kill(Silo silo) => Signals.TrySend(silo.ProcessId, Signals.Kill);

    /// <summary>Pauses a process. To the others it is an unresponsive broker whose sockets stay open.</summary>
    public void Pause(Silo silo) => Signals.TrySend(silo.ProcessId, Signals.Stop);

    /// <summary>Resumes a paused process.</summary>
    public void Resume(Silo silo) => Signals.TrySend(silo.ProcessId, Signals.Continue);

    /// <summary>Waits until a broker runs in a new process.</summary>
    public async Task<Silo> RestartedAsync(Silo before, CancellationToken cancellationToken)
    {
        using var patience = new CancellationTokenSource(StartPatience);
        while (_silos[before.BrokerId].ProcessId == before.ProcessId)
        {
            if (patience.IsCancellationRequested)
                throw new TimeoutException($"Broker {before.BrokerId} (process {before.ProcessId}) did not restart within "
                    + $"{StartPatience.TotalSeconds} s. {Said()}");
            await Task.Delay(20, cancellationToken);
        }
        return _silos[before.BrokerId];
    }

    /// <summary>The latest output of the supervisor, for an error message.</summary>
    public abstract string Said();

    public virtual async ValueTask DisposeAsync()
    {
        await Database.DisposeAsync();
        Directory.Delete(databaseDirectory, recursive: true);
    }

    /// <summary>The number of silos that ended because the others declared them dead.</summary>
    public int Evictions => Volatile.Read(ref _evictions);

    protected void CountEnd(int? exitCode)
    {
        if (exitCode == EvictedExitCode)
            Interlocked.Increment(ref _evictions);
    }

    protected void Announce(Silo silo) => _silos[silo.BrokerId] = silo;

    protected void Forget(int brokerId) => _silos.TryRemove(brokerId, out _);
}
