using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;
using OrleansMq.Cli.Clusters;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Benchmark;

/// <summary>A broker of the benchmark's own: a process with a fresh data directory and a free port, both gone when it is disposed.</summary>
internal sealed class PrivateBroker : IAsyncDisposable
{
    // A broker with an empty directory is ready in under a second; a busy machine gets a minute.
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(20);

    private readonly Process _process;
    private readonly TaskCompletionSource<Uri> _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Queue<string> _lastLines = new();

    private PrivateBroker(Process process, string directory)
    {
        _process = process;
        Directory = directory;
    }

    /// <summary>A directory on the volume the broker writes to, for what else is measured.</summary>
    public string Directory { get; }

    /// <summary>Where it listens.</summary>
    public Uri Address => _ready.Task.Result;

    /// <summary>Starts a broker and waits until it is ready.</summary>
    /// <exception cref="CommandFailedException">It is not there, or did not become ready; the message has its last lines.</exception>
    public static async Task<PrivateBroker> StartAsync(string flush, CancellationToken cancellationToken)
    {
        var program = BrokerProgram.Words("The benchmark starts a broker of its own (or name a running one by --server)");
        var directory = System.IO.Directory.CreateTempSubdirectory("omq-bench-").FullName;
        var start = BrokerProgram.Start([.. program, "--data", Path.Combine(directory, "data"), "--http", "127.0.0.1:0", "--flush", flush]);
        var broker = new PrivateBroker(new Process { StartInfo = start, EnableRaisingEvents = true }, directory);
        try
        {
            await broker.RunAsync(cancellationToken).ConfigureAwait(false);
            return broker;
        }
        catch
        {
            await broker.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Ends the broker and deletes its directory.</summary>
    public async ValueTask DisposeAsync()
    {
        if (IsRunning())
        {
            if (OperatingSystem.IsWindows() || kill(_process.Id, Terminate) != 0)
                _process.Kill();
            using var timeout = new CancellationTokenSource(StopTimeout);
            try
            {
                await _process.WaitForExitAsync(timeout.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                _process.Kill();
            }
        }
        _process.Dispose();
        System.IO.Directory.Delete(Directory, recursive: true);
    }

    private async Task RunAsync(CancellationToken cancellationToken)
    {
        _process.OutputDataReceived += (_, line) => Look(line.Data);
        _process.ErrorDataReceived += (_, line) => Remember(line.Data);
        _process.Exited += (_, _) => _ready.TrySetException(CommandFailedException.Refused($"The benchmark's broker ended with code {_process.ExitCode}: {LastLines()}"));
        try
        {
            _process.Start();
        }
        catch (Win32Exception e)
        {
            throw CommandFailedException.Refused($"The benchmark's broker cannot be started: {e.Message}", e);
        }
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
        try
        {
            await _ready.Task.WaitAsync(StartTimeout, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException e)
        {
            throw CommandFailedException.Refused($"The benchmark's broker was not ready after {StartTimeout.TotalSeconds} s: {LastLines()}", e);
        }
    }

    /// <summary>The broker says on one line of its standard output when it is ready, and where.</summary>
    private void Look(string? line)
    {
        Remember(line);
        if (line is not null && line.StartsWith("ready ", StringComparison.Ordinal)
            && line.Split(' ').FirstOrDefault(word => word.StartsWith("http=", StringComparison.Ordinal)) is { } http)
            _ready.TrySetResult(new Uri(http["http=".Length..]));
    }

    private void Remember(string? line)
    {
        if (line is null)
            return;
        lock (_lastLines)
        {
            _lastLines.Enqueue(line);
            if (_lastLines.Count > 5)
                _lastLines.Dequeue();
        }
    }

    private string LastLines()
    {
        lock (_lastLines)
            return string.Join(" | ", _lastLines);
    }

    private bool IsRunning()
    {
        try
        {
            return !_process.HasExited;
        }
        catch (InvalidOperationException)
        {
            // It was never started.
            return false;
        }
    }

    private const int Terminate = 15; // SIGTERM: the broker drains

#pragma warning disable IDE1006, SYSLIB1054 // The C library's own name; no generated marshalling is needed for numbers.
    [DllImport("libc")]
    private static extern int kill(int processId, int signal);
#pragma warning restore IDE1006, SYSLIB1054
}
