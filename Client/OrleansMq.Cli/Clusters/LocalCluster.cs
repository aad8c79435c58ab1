using OrleansMq.Cli.CommandLine;
using OrleansMq.Client;

namespace OrleansMq.Cli.Clusters;

/// <summary>A whole cluster on this machine: a database, and silos as separate processes. This process supervises them.</summary>
internal sealed class LocalCluster : IDisposable
{
    private readonly ClusterDirectory _directory;
    private readonly ClusterEvents _events;
    private readonly LocalClusterOptions _options;
    private readonly IReadOnlyList<string> _program;
    private readonly string _connectionString;
    // A stopping silo hands its leaderships to the others, which takes a moment if those do not stop at the same time.
    private static readonly TimeSpan HandoverPatience = TimeSpan.FromSeconds(3);

    // A total limit, so that many silos also stop within the time that the program has.
    private static readonly TimeSpan AllHandovers = TimeSpan.FromSeconds(15);

    // How often to check whether a silo that has ended was removed from the cluster, and how long the others have to answer.
    private static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(1);
    private static readonly HttpBrokerOptions Looking = new() { RequestTimeout = TimeSpan.FromSeconds(2), RetryTimeout = TimeSpan.Zero };

    private readonly List<(SupervisedSilo Silo, Task Running)> _silos = [];
    private readonly Lock _rosterLock = new();
    // A failure that ends the cluster, such as a closed terminal or a full disk.
    private readonly TaskCompletionSource _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ClusterRoster _roster;

    private LocalCluster(ClusterDirectory directory, ClusterRoster roster, string connectionString, LocalClusterOptions options,
        IReadOnlyList<string> program, ClusterEvents events)
    {
        (_directory, _roster, _connectionString) = (directory, roster, connectionString);
        (_options, _program, _events) = (options, program, events);
    }

    private LocalSecurity? Security { get; init; }

    /// <summary>Runs a cluster until stopped, then stops it cleanly: silos first, the database last.</summary>
    /// <exception cref="CommandFailedException">The cluster cannot be started. All its processes are stopped.</exception>
    public static async Task RunAsync(LocalClusterOptions options, ClusterEvents events, CancellationToken stop)
    {
        var program = BrokerProgram.Words("A cluster's silos are started");
        using var directory = ClusterDirectory.Open(options.Directory);
        var roster = directory.ReadRoster().With(options.Silos, options.Racks);
        var security = LocalSecurity.Open(directory.Path, options.Secure);
        events.Starting(new ClusterLine(roster.ClusterId, directory.Path, Environment.ProcessId)
        {
            CertificateAuthority = security?.AuthorityFile,
            PasswordFile = security?.PasswordFile,
        }, directory.IsTemporary);
        using var stopDatabase = new CancellationTokenSource();
        await using var database = await LocalDatabase.OpenAsync(options.Postgres, directory.Postgres, stop).ConfigureAwait(false);
        var databaseRuns = database.RunAsync(events, options.Restart, stopDatabase.Token);
        try
        {
            directory.WriteRoster(roster);
            using var cluster = new LocalCluster(directory, roster, database.ConnectionString, options, program, events)
            {
                Security = security,
            };
            await cluster.RunAsync(stop).ConfigureAwait(false);
        }
        finally
        {
            await stopDatabase.CancelAsync().ConfigureAwait(false);
            await databaseRuns.ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _silos.ForEach(silo => silo.Silo.Dispose());

    private async Task RunAsync(CancellationToken stop)
    {
        try
        {
            // Before any silo is reported as ready: an early request waits.
            using var control = ControlSocket.Listen(_directory.Path);
            var starting = _roster.Present.Select(Start).ToList();
            var ready = await UnlessFailed(Task.WhenAll(starting.Select(silo => silo.FirstReady)).WaitAsync(stop)).ConfigureAwait(false);
            _events.AllReady(_roster.ClusterId, ready, Security);
            await UnlessFailed(Task.WhenAll(control.RunAsync(order => AddAsync(order, stop), stop),
                LookForRemovedAsync(stop))).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Stopped before it was ready.
        }
        finally
        {
            await TakeOutRemovedAsync().ConfigureAwait(false);
            await StopAsync().ConfigureAwait(false);
        }
    }

    private async Task LookForRemovedAsync(CancellationToken stop)
    {
        try
        {
            while (true)
            {
                await Task.Delay(LookInterval, stop).ConfigureAwait(false);
                await TakeOutRemovedAsync().ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // The cluster is stopping.
        }
    }

    /// <summary>Marks silos as removed that have ended and are no longer registered, so that the next start does not bring them
    /// back.</summary>
    private async Task TakeOutRemovedAsync()
    {
        (SupervisedSilo Silo, Task Running)[] silos;
        lock (_rosterLock)
            silos = [.. _silos];
        var ended = silos.Where(silo => silo.Running.IsCompleted && silo.Silo.Last is not null).Select(silo => silo.Silo.BrokerId)
            .ToArray();
        var addresses = silos.Where(silo => !silo.Running.IsCompleted && silo.Silo.Last is not null)
            .Select(silo => new Uri(silo.Silo.Last!.Http)).ToArray();
        if (addresses.Length == 0 || !_roster.Present.Any(entry => ended.Contains(entry.BrokerId)))
            return;
        try
        {
            using var broker = new HttpBroker(addresses, Security?.Secure(Looking) ?? Looking);
            var cluster = await broker.DescribeClusterAsync().ConfigureAwait(false);
            Change(roster => roster.WithoutRemoved(ended, [.. cluster.Brokers.Select(known => known.BrokerId)]));
        }
        catch (BrokerException)
        {
            // No broker can answer now; the next check will.
        }
    }

    private void Change(Func<ClusterRoster, ClusterRoster> change)
    {
        lock (_rosterLock)
        {
            var next = change(_roster);
            if (ReferenceEquals(next, _roster))
                return;
            _directory.WriteRoster(next);
            foreach (var removed in next.Brokers.Except(_roster.Brokers).Where(entry => entry.Removed))
                _events.Removed(new RemovedLine(removed.BrokerId));
            _roster = next;
        }
    }

    /// <summary>Stops one silo after the other. A slow one does not delay the rest beyond a limit.</summary>
    private async Task StopAsync()
    {
        var patience = TimeSpan.FromTicks(Math.Min(HandoverPatience.Ticks, AllHandovers.Ticks / _silos.Count));
        foreach (var (silo, running) in _silos)
        {
            await silo.StopAsync().ConfigureAwait(false);
            await Task.WhenAny(running, Task.Delay(patience)).ConfigureAwait(false);
        }
        await Task.WhenAll(_silos.Select(silo => silo.Running)).ConfigureAwait(false);
    }

    private async Task<BrokerLine> AddAsync(AddOrder order, CancellationToken stop)
    {
        var entry = _roster.Plus(order.Rack).Brokers[^1];
        var silo = Start(entry);
        var line = await silo.FirstReady.WaitAsync(stop).ConfigureAwait(false);
        // Only a silo that was ready belongs to the cluster; a failed start leaves the roster unchanged.
        Change(roster => roster with { Brokers = [.. roster.Brokers, entry] });
        return line;
    }

    private SupervisedSilo Start(RosterEntry entry)
    {
        var spec = new SiloSpec(entry, _roster.ClusterId, _connectionString, _directory.DataOf(entry.BrokerId),
            _directory.LogOf(entry.BrokerId), _program, _options.BrokerFlags) { ServesAmqp = _options.Amqp, Security = Security };
        var silo = new SupervisedSilo(spec, _events, _options.Restart);
        lock (_rosterLock)
            _silos.Add((silo, Task.Run(() => RunAsync(silo))));
        return silo;
    }

    private async Task RunAsync(SupervisedSilo silo)
    {
        try
        {
            await silo.RunAsync().ConfigureAwait(false);
        }
        catch (Exception e)
        {
            // Reported by the task that waits for the cluster as a whole.
            _failed.TrySetException(e);
        }
    }

    private async Task<T> UnlessFailed<T>(Task<T> task)
    {
        await UnlessFailed((Task)task).ConfigureAwait(false);
        return await task.ConfigureAwait(false);
    }

    private async Task UnlessFailed(Task task) =>
        await (await Task.WhenAny(task, _failed.Task).ConfigureAwait(false)).ConfigureAwait(false);
}
