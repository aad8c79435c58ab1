using OrleansMq.Cli.CommandLine;
using OrleansMq.PostgreSql.Servers;

namespace OrleansMq.Cli.Clusters;

/// <summary>The database of a local cluster: a private server, or one that was given. Its schema is there.</summary>
internal sealed class ClusterDatabase : IAsyncDisposable
{
    // One that lost its cluster (SIGKILL) ends in order by itself, which takes a moment.
    private static readonly TimeSpan PredecessorTimeout = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan PredecessorPoll = TimeSpan.FromMilliseconds(100);

    private readonly PrivatePostgreSql? _server;

    private ClusterDatabase(string connectionString, PrivatePostgreSql? server) => (ConnectionString, _server) = (connectionString, server);

    /// <summary>How to connect.</summary>
    public string ConnectionString { get; }

    /// <summary>Uses a given database, or starts a private server, and brings the schema to this program's version.</summary>
    /// <exception cref="CommandFailedException">There is no server on this machine, it does not start, or the database refuses.</exception>
    public static async Task<ClusterDatabase> OpenAsync(string? given, string directory, CancellationToken cancellationToken)
    {
        var server = given is null ? await StartAsync(directory, cancellationToken).ConfigureAwait(false) : null;
        var database = new ClusterDatabase(given ?? server!.ConnectionString(), server);
        try
        {
            await Databases.DatabaseCommands.MigrateAsync(database.ConnectionString, cancellationToken).ConfigureAwait(false);
            return database;
        }
        catch
        {
            await database.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Tells of it, and of its end where nobody asked for that; starts a private server again where it should.</summary>
    public async Task RunAsync(ClusterEvents events, bool restart, CancellationToken stop)
    {
        if (_server is null)
        {
            events.DatabaseReady(new PostgresLine(null, null, ConnectionString));
            return;
        }
        for (var failedStarts = 0; ;)
        {
            events.DatabaseReady(new PostgresLine(_server.ProcessId, _server.Port, ConnectionString));
            var process = _server.ProcessId;
            if (await IsStoppedAsync(_server.Ended, stop).ConfigureAwait(false))
                return;
            events.Ended(new EndedLine(null, process, null, restart));
            if (!restart)
                return;
            while (!await TryStartAgainAsync(_server, stop).ConfigureAwait(false))
            {
                if (await IsStoppedAsync(Task.Delay(RestartBackoff.After(++failedStarts), CancellationToken.None),
                    stop).ConfigureAwait(false))
                    return;
            }
            failedStarts = 0;
        }
    }

    /// <summary>Stops a private server.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
            await _server.DisposeAsync().ConfigureAwait(false);
    }

    private static async Task<PrivatePostgreSql> StartAsync(string directory, CancellationToken cancellationToken)
    {
        var installation = PostgreSqlInstallation.Find() ?? throw CommandFailedException.Refused(
            "A cluster keeps its members and its topics' state in PostgreSQL, and this machine has no server programs of it: install them "
            + "(on Debian and Ubuntu the package 'postgresql'), or name a database by --postgres "
            + "\"Host=localhost;Database=omq;Username=omq\".");
        await AwaitPredecessorAsync(Path.Combine(directory, "data", "postmaster.pid"), cancellationToken).ConfigureAwait(false);
        try
        {
            return await PrivatePostgreSql.StartAsync(installation, directory, cancellationToken).ConfigureAwait(false);
        }
        catch (InvalidOperationException e)
        {
            var asOther = Environment.IsPrivilegedProcess
                ? " Started by root it runs as another user, who must be able to enter every directory above: choose such a --data, "
                    + "or none." : "";
            throw CommandFailedException.Refused($"The private PostgreSQL server in {directory} does not start.{asOther} {e.Message}", e);
        }
    }

    /// <summary>The server removes its file when it has ended. Where it crashed the file stays, and the next start judges that.</summary>
    private static async Task AwaitPredecessorAsync(string pidFile, CancellationToken cancellationToken)
    {
        for (var waited = TimeSpan.Zero; waited < PredecessorTimeout && Runs(pidFile); waited += PredecessorPoll)
            await Task.Delay(PredecessorPoll, cancellationToken).ConfigureAwait(false);
    }

    private static bool Runs(string pidFile)
    {
        try
        {
            return Directory.Exists($"/proc/{File.ReadLines(pidFile).FirstOrDefault("none")}");
        }
        catch (IOException)
        {
            // No such file: a new directory, or it has just ended.
            return false;
        }
    }

    private static async Task<bool> TryStartAgainAsync(PrivatePostgreSql server, CancellationToken stop)
    {
        try
        {
            await server.StopAsync().ConfigureAwait(false);
            await server.StartAsync(stop).ConfigureAwait(false);
            return true;
        }
        catch (Exception e) when (e is InvalidOperationException or OperationCanceledException)
        {
            return false;
        }
    }

    private static async Task<bool> IsStoppedAsync(Task task, CancellationToken stop)
    {
        await Task.WhenAny(task, Task.Delay(Timeout.Infinite, stop)).ConfigureAwait(false);
        return stop.IsCancellationRequested;
    }
}
