using System.Diagnostics;

namespace OrleansMq.PostgreSql.Servers;

/// <summary>The running server: its process, and the log that it writes to standard error.</summary>
internal sealed class ServerProcess : IAsyncDisposable
{
    // The server's message once it accepts connections; in English because of LC_ALL.
    private const string Ready = "database system is ready to accept connections";

    // The log lines that an error message shows.
    private const int LinesKept = 20;

    private readonly Process _process;
    private readonly Queue<string> _log = new();
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _reading;

    private ServerProcess(Process process)
    {
        _process = process;
        _process.StandardInput.Close();
        _reading = Task.WhenAll(ReadAsync(process.StandardError), ReadAsync(process.StandardOutput));
    }

    public int Id => _process.Id;

    public bool HasExited => _process.HasExited;

    /// <summary>Completes when the server has ended.</summary>
    public Task Ended => _reading;

    /// <summary>Returns when the server accepts connections.</summary>
    /// <exception cref="InvalidOperationException">The server ended instead.</exception>
    public static async Task<ServerProcess> StartAsync(ProcessStartInfo start, CancellationToken cancellationToken)
    {
        var server = new ServerProcess(ChildProcess.Start(start));
        try
        {
            await Task.WhenAny(server._ready.Task, server._reading).WaitAsync(cancellationToken).ConfigureAwait(false);
            if (!server._ready.Task.IsCompleted)
                throw new InvalidOperationException($"PostgreSQL did not start: {server.Said()}");
            return server;
        }
        catch
        {
            await server.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Waits for the server's end; kills it if it was not asked to stop.</summary>
    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited && !_ready.Task.IsCompleted)
            _process.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync().ConfigureAwait(false);
        await _reading.ConfigureAwait(false);
        _process.Dispose();
    }

    private async Task ReadAsync(StreamReader output)
    {
        while (await output.ReadLineAsync().ConfigureAwait(false) is { } line)
        {
            lock (_log)
            {
                _log.Enqueue(line);
                if (_log.Count > LinesKept)
                    _log.Dequeue();
            }
            if (line.EndsWith(Ready, StringComparison.Ordinal))
                _ready.TrySetResult();
        }
    }

    private string Said()
    {
        lock (_log)
            return string.Join('\n', _log);
    }
}
