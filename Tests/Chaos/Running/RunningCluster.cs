using System.Collections.Concurrent;
using OrleansMq.PostgreSql.Servers;

namespace OrleansMq.Tests.Chaos.Running;

/// <summary>
/// Silos as processes of this machine over a database that belongs to the test, so that both can be broken. Who starts the silos, and again
/// after a kill, is for those who derive from it.
/// </summary>
internal abstract class RunningCluster(PrivatePostgreSql database, string databaseDirectory, RunLog log) : IAsyncDisposable
{
    /// <summary>A silo starts within seconds; on a machine with two busy cores it may take much longer.</summary>
    public static readonly TimeSpan StartPatience = TimeSpan.FromSeconds(90);

    // A silo that learns that the others went on without it.
    private const int EvictedExitCode = 3;

    private readonly ConcurrentDictionary<int, Silo> _silos = new();
    private int _evictions;

    public PrivatePostgreSql Database { get; } = database;

    public RunLog Log { get; } = log;

    /// <summary>The silos as announced last, by number; one that was killed a moment ago among them.</summary>
    public IReadOnlyList<Silo> Silos => [.. _silos.Values.OrderBy(silo => silo.BrokerId)];

    /// <summary>The addresses of the silos' HTTP API.</summary>
    public IReadOnlyList<Uri> Addresses => [.. _silos.Values.Select(silo => silo.Http)];

    public Silo this[int brokerId] => _silos[brokerId];

    /// <summary>A connection string of a new database server that the test owns; null where the machine has no PostgreSQL.</summary>
    public static async Task<(PrivatePostgreSql Server, string Directory)?> StartDatabaseAsync()
    {
        if (PostgreSqlInstallation.Find() is not { } installation)
            return null;
        var directory = Directory.CreateTempSubdirectory("omq-pg-").FullName;
        return (await PrivatePostgreSql.StartAsync(installation, directory), directory);
    }

    /// <summary>Ends a process at once. What supervises it starts it again.</summary>
    public void Kill(Silo silo) => Signals.TrySend(silo.ProcessId, Signals.Kill);

    /// <summary>Stops a process in its tracks: to the others it is a broker that does not answer, whose sockets live.</summary>
    public void Pause(Silo silo) => Signals.TrySend(silo.ProcessId, Signals.Stop);

    /// <summary>A paused process goes on as if no time had passed.</summary>
    public void Resume(Silo silo) => Signals.TrySend(silo.ProcessId, Signals.Continue);

    /// <summary>Waits until a broker runs as another process than before.</summary>
    public async Task<Silo> RestartedAsync(Silo before, CancellationToken cancellationToken)
    {
        using var patience = new CancellationTokenSource(StartPatience);
        while (_silos[before.BrokerId].ProcessId == before.ProcessId)
        {
            if (patience.IsCancellationRequested)
                throw new TimeoutException($"Broker {before.BrokerId} (process {before.ProcessId}) was not started again within "
                    + $"{StartPatience.TotalSeconds} s. {Said()}");
            await Task.Delay(20, cancellationToken);
        }
        return _silos[before.BrokerId];
    }

    /// <summary>What those who start silos said last, for an error message.</summary>
    public abstract string Said();

    public virtual async ValueTask DisposeAsync()
    {
        await Database.DisposeAsync();
        Directory.Delete(databaseDirectory, recursive: true);
    }

    /// <summary>Silos that ended because the others took them for dead.</summary>
    public int Evictions => Volatile.Read(ref _evictions);

    protected void CountEnd(int? exitCode)
    {
        if (exitCode == EvictedExitCode)
            Interlocked.Increment(ref _evictions);
    }

    protected void Announce(Silo silo) => _silos[silo.BrokerId] = silo;

    protected void Forget(int brokerId) => _silos.TryRemove(brokerId, out _);
}
