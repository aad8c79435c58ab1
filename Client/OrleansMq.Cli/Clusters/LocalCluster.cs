using OrleansMq.Cli.CommandLine;
using OrleansMq.Client.Http;

namespace OrleansMq.Cli.Clusters;

/// <summary>A whole cluster on this machine: a database, and silos as processes of their own. This process holds it together.</summary>
internal sealed class LocalCluster : IDisposable
{
    private readonly ClusterDirectory _directory;
    private readonly ClusterEvents _events;
    private readonly LocalClusterOptions _options;
    private readonly IReadOnlyList<string> _program;
    private readonly string _connectionString;
    // One that ends hands its leaderships to the others, which works in a moment where those do not end at the same time.
    private static readonly TimeSpan HandoverPatience = TimeSpan.FromSeconds(3);

    // So that many silos end, too, within the time the program has for it.
    private static readonly TimeSpan AllHandovers = TimeSpan.FromSeconds(15);

    // How often it looks whether a silo that has ended was removed from the cluster, and how long the others have to answer.
    private static readonly TimeSpan LookInterval = TimeSpan.FromSeconds(1);
    private static readonly HttpBrokerOptions Looking = new() { RequestTimeout = TimeSpan.FromSeconds(2), RetryTimeout = TimeSpan.Zero };

    private readonly List<(SupervisedSilo Silo, Task Running)> _silos = [];
    private readonly Lock _rosterLock = new();
    // What nobody is meant to go on after, such as a terminal that has gone or a full disk.
    private readonly TaskCompletionSource _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ClusterRoster _roster;

    private LocalCluster(ClusterDirectory directory, ClusterRoster roster, string connectionString, LocalClusterOptions options,
        IReadOnlyList<string> program, ClusterEvents events)
    {
        (_directory, _roster, _connectionString) = (directory, roster, connectionString);
        (_options, _program, _events) = (options, program, events);
    }

    /// <summary>Runs a cluster until it is told to stop, then stops it in order: silos first, the database last.</summary>
    /// <exception cref="CommandFailedException">It cannot be, or does not start; nothing runs then.</exception>
    public static async Task RunAsync(LocalClusterOptions options, ClusterEvents events, CancellationToken stop)
    {
        var program = BrokerProgram.Words("A cluster's silos are started");
        using var directory = ClusterDirectory.Open(options.Directory);
        var roster = directory.ReadRoster().With(options.Silos, options.Racks);
        events.Starting(new ClusterLine(roster.ClusterId, directory.Path, Environment.ProcessId), directory.IsTemporary);
        using var stopDatabase = new CancellationTokenSource();
        await using var database = await ClusterDatabase.OpenAsync(options.Postgres, directory.Postgres, stop).ConfigureAwait(false);
        var databaseRuns = database.RunAsync(events, options.Restart, stopDatabase.Token);
        try
        {
            directory.WriteRoster(roster);
            using var cluster = new LocalCluster(directory, roster, database.ConnectionString, options, program, events);
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
            // Before anybody is told that a silo is ready: an order that comes early waits.
            using var control = ControlSocket.Listen(_directory.Path);
            var starting = _roster.Present.Select(Start).ToList();
            var ready = await UnlessFailed(Task.WhenAll(starting.Select(silo => silo.FirstReady)).WaitAsync(stop)).ConfigureAwait(false);
            _events.AllReady(_roster.ClusterId, ready);
            await UnlessFailed(Task.WhenAll(control.RunAsync(order => AddAsync(order, stop), stop),
                LookForRemovedAsync(stop))).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Told to stop before it was ready.
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
            // The cluster ends.
        }
    }

    /// <summary>A silo that has ended, and that the cluster does not know any more, was removed: a next start must not bring it
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
            using var broker = new HttpBroker(addresses, Looking);
            var cluster = await broker.DescribeClusterAsync().ConfigureAwait(false);
            Change(roster => roster.WithoutRemoved(ended, [.. cluster.Brokers.Select(known => known.BrokerId)]));
        }
        catch (BrokerException)
        {
            // Nobody knows at the moment; it looks again.
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

    /// <summary>Ends one silo after the other; one that takes its time does not hold up the rest.</summary>
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
        // Only one that has served belongs to the cluster: a failed start leaves the roster as it was.
        Change(roster => roster with { Brokers = [.. roster.Brokers, entry] });
        return line;
    }

    private SupervisedSilo Start(RosterEntry entry)
    {
        var spec = new SiloSpec(entry, _roster.ClusterId, _connectionString, _directory.DataOf(entry.BrokerId),
            _directory.LogOf(entry.BrokerId), _program, _options.BrokerFlags);
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
            // Told by whoever waits for the cluster as a whole.
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
