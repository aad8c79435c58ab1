using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Npgsql;

namespace OrleansMq.PostgreSql.Servers;

/// <summary>
/// A private PostgreSQL server as a child of this process, for tests and for a whole cluster on one machine. It listens only on 127.0.0.1,
/// requires a password that only its directory holds, and is as durable as any other. On Linux it ends with this process, however that
/// ends.
/// <para>The directory contains PostgreSQL's <c>data/</c>, the superuser's <c>password</c>, and the socket in <c>run/</c>.</para>
/// </summary>
internal sealed class PrivatePostgreSql : IAsyncDisposable
{
    private const string Superuser = "omq";

    // The signal for an orderly shutdown that cuts connections.
    private const string FastShutdown = "INT";

    // A port that was free may be taken before the server binds it.
    private const int Attempts = 5;

    private readonly PostgreSqlInstallation _installation;
    private readonly ServerAccount _account;
    private readonly string _directory;
    private ServerProcess? _server;

    private PrivatePostgreSql(PostgreSqlInstallation installation, ServerAccount account, string directory) =>
        (_installation, _account, _directory) = (installation, account, directory);

    /// <summary>The port on 127.0.0.1. A stopped server keeps it for its next start.</summary>
    public int Port { get; private set; }

    /// <summary>Whether the server runs. False also after it ended by itself.</summary>
    public bool IsRunning => _server is { HasExited: false };

    /// <summary>The server's process id; 0 while it is stopped.</summary>
    public int ProcessId => _server?.Id ?? 0;

    /// <summary>Completes when the running server ends for any reason; completed while it is stopped.</summary>
    public Task Ended => _server?.Ended ?? Task.CompletedTask;

    /// <summary>Starts a server in a new or existing directory.</summary>
    /// <param name="installation">The server's programs.</param>
    /// <param name="directory">Created if missing. If the caller is root, the directory is given to the server's user, which must have
    /// access to its parents. At most 80 characters, since a socket's path is short.</param>
    /// <param name="cancellationToken">Cancels the start; nothing runs then.</param>
    /// <returns>A server that accepts connections. Disposing it stops it and keeps the directory.</returns>
    /// <exception cref="InvalidOperationException">The server does not start; the message has its output.</exception>
    public static async Task<PrivatePostgreSql> StartAsync(PostgreSqlInstallation installation, string directory,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(installation);
        var server = new PrivatePostgreSql(installation, ServerAccount.Choose(), Path.GetFullPath(directory));
        await server.InitializeAsync(cancellationToken).ConfigureAwait(false);
        await server.StartAsync(cancellationToken).ConfigureAwait(false);
        return server;
    }

    /// <summary>Starts the server again after <see cref="StopAsync"/> or <see cref="KillAsync"/>, on the same port.</summary>
    /// <exception cref="InvalidOperationException">The server is running already, or does not start.</exception>
    public async Task StartAsync(CancellationToken cancellationToken = default)
    {
        if (IsRunning)
            throw new InvalidOperationException("The server is already running.");
        for (var attempt = 1; ; attempt++)
        {
            var port = Port == 0 ? FreePort() : Port;
            try
            {
                IEnumerable<string> words = ChildProcess.Tied(FastShutdown,
                    [_installation["postgres"], "-D", Data, "-k", Sockets, "-h", "127.0.0.1", "-p", $"{port}"]);
                _server = await ServerProcess.StartAsync(_account.Start(words.First(), words.Skip(1)),
                    cancellationToken).ConfigureAwait(false);
                Port = port;
                return;
            }
            catch (InvalidOperationException) when (Port == 0 && attempt < Attempts && IsTaken(port))
            {
                // Another process took the port: try the next free one.
            }
        }
    }

    /// <summary>Stops the server in order: connections are cut, everything is written.</summary>
    public Task StopAsync() => EndAsync("fast");

    /// <summary>Stops the server as a crash would: nothing more is written, and its next start recovers.</summary>
    public Task KillAsync() => EndAsync("immediate");

    /// <summary>Returns a connection string for one of its databases, as the superuser.</summary>
    public string ConnectionString(string database = "postgres") => new NpgsqlConnectionStringBuilder
    {
        Host = "127.0.0.1",
        Port = Port,
        Username = Superuser,
        Password = File.ReadAllText(PasswordFile),
        Database = database,
    }.ConnectionString;

    /// <summary>Stops the server; its directory stays.</summary>
    public async ValueTask DisposeAsync() => await StopAsync().ConfigureAwait(false);

    private string Data => Path.Combine(_directory, "data");

    private string Sockets => Path.Combine(_directory, "run");

    private string PasswordFile => Path.Combine(_directory, "password");

    private async Task InitializeAsync(CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(Sockets);
        await _account.DemandEntryAsync(_directory, cancellationToken).ConfigureAwait(false);
        if (!File.Exists(PasswordFile))
            await WriteSecretAsync(PasswordFile, RandomNumberGenerator.GetHexString(32), cancellationToken).ConfigureAwait(false);
        await _account.OwnAsync(_directory, cancellationToken).ConfigureAwait(false);
        if (File.Exists(Path.Combine(Data, "PG_VERSION")))
            return;
        await ServerCommand.RunAsync(_account.Start(_installation["initdb"], "-D", Data, "-U", Superuser, "--pwfile", PasswordFile,
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"), cancellationToken).ConfigureAwait(false);
    }

    // Only the owner can read it, from its first byte on. It is whole, or it is not there.
    private static async Task WriteSecretAsync(string path, string secret, CancellationToken cancellationToken)
    {
        var unfinished = path + ".new";
        File.Delete(unfinished);
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        await using (var writer = new StreamWriter(unfinished, options))
            await writer.WriteAsync(secret.AsMemory(), cancellationToken).ConfigureAwait(false);
        File.Move(unfinished, path);
    }

    private async Task EndAsync(string mode)
    {
        if (IsRunning)
        {
            var stop = _account.Start(_installation["pg_ctl"], "stop", "-D", Data, "-m", mode, "-w");
            await ServerCommand.RunAsync(stop, CancellationToken.None).ConfigureAwait(false);
        }
        if (_server is { } server)
            await server.DisposeAsync().ConfigureAwait(false);
        _server = null;
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static bool IsTaken(int port)
    {
        try
        {
            using var listener = new TcpListener(IPAddress.Loopback, port);
            listener.Start();
            return false;
        }
        catch (SocketException)
        {
            return true;
        }
    }
}
