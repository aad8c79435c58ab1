using OrleansMq.Cli.CommandLine;
using OrleansMq.PostgreSql.Servers;

namespace OrleansMq.Cli.Clusters;

/// <summary>The database of a local cluster, with its schema: a private server, or a given database.</summary>
internal sealed class LocalDatabase : IAsyncDisposable
{
    // A server whose cluster was killed (SIGKILL) shuts down by itself, which takes a moment.
    private static readonly TimeSpan PredecessorTimeout = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan PredecessorPoll = TimeSpan.FromMilliseconds(100);

    private readonly PrivatePostgreSql? _server;

    private LocalDatabase(string connectionString, PrivatePostgreSql? server) => (ConnectionString, _server) = (connectionString, server);

    /// <summary>The connection string.</summary>
    public string ConnectionString { get; }

    /// <summary>Uses a given database, or starts a private server, and migrates the schema to this program's version.</summary>
    /// <exception cref="CommandFailedException">No server is installed, the server does not start, or the database rejects the
    /// connection.</exception>
    public static async Task<LocalDatabase> OpenAsync(string? given, string directory, CancellationToken cancellationToken)
    {
        var server = given is null ? await StartAsync(directory, cancellationToken).ConfigureAwait(false) : null;
        var database = new LocalDatabase(given ?? server!.ConnectionString(), server);
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

    /// <summary>Reports the database and its unexpected end, and restarts a private server if required.</summary>
    public async Task RunAsync(ClusterEvents events, bool restart, CancellationToken stop)
    {
        if (_server is null)
        {
            // The caller has it; the lines may go to a log.
            events.DatabaseReady(new PostgresLine(null, null, null));
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
            "A cluster stores its members and topics in PostgreSQL, and no PostgreSQL server is installed on this machine. Install one "
            + "(on Debian and Ubuntu the package 'postgresql'), or name a database by --postgres "
            + "\"Host=localhost;Database=omq;Username=omq\".");
        await AwaitPredecessorAsync(Path.Combine(directory, "data", "postmaster.pid"), cancellationToken).ConfigureAwait(false);
        try
        {
            return await PrivatePostgreSql.StartAsync(installation, directory, cancellationToken).ConfigureAwait(false);
        }
        catch (InvalidOperationException e)
        {
            throw CommandFailedException.Refused($"The private PostgreSQL server in {directory} does not start. {e.Message}", e);
        }
    }

    /// <summary>Waits until an earlier server has ended, which removes its file. After a crash the file stays, and the next start handles
    /// it.</summary>
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
            // No such file: the directory is new, or the server has just ended.
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
