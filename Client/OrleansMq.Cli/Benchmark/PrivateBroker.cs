using System.ComponentModel;
using OrleansMq.Cli.Clusters;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Benchmark;

/// <summary>A broker of the benchmark's own: a process with a fresh data directory and a free port, both gone when it is
/// disposed.</summary>
internal sealed class PrivateBroker : IAsyncDisposable
{
    // A broker with an empty directory is ready in under a second; a busy machine gets a minute.
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(20);

    private readonly SiloProcess _process;
    private Uri? _address;

    private PrivateBroker(SiloProcess process, string directory)
    {
        _process = process;
        Directory = directory;
    }

    /// <summary>A directory on the volume the broker writes to, for what else is measured.</summary>
    public string Directory { get; }

    /// <summary>Where it listens.</summary>
    public Uri Address => _address!;

    /// <summary>Starts a broker and waits until it is ready.</summary>
    /// <exception cref="CommandFailedException">It is not there, or did not become ready; the message has its last lines.</exception>
    public static async Task<PrivateBroker> StartAsync(string flush, CancellationToken cancellationToken)
    {
        var program = BrokerProgram.Words("The benchmark starts a broker of its own (or name a running one by --server)");
        var directory = System.IO.Directory.CreateTempSubdirectory("omq-bench-").FullName;
        var broker = new PrivateBroker(Launch(program, directory, flush), directory);
        try
        {
            broker._address = new Uri(await broker.ReadyAsync(cancellationToken).ConfigureAwait(false));
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
        _process.Terminate();
        // Who does not end in time is killed by being disposed.
        await Task.WhenAny(_process.Ended, Task.Delay(StopTimeout)).ConfigureAwait(false);
        await _process.DisposeAsync().ConfigureAwait(false);
        System.IO.Directory.Delete(Directory, recursive: true);
    }

    private static SiloProcess Launch(IReadOnlyList<string> program, string directory, string flush)
    {
        try
        {
            return SiloProcess.Start([.. program, "--json", "--data", Path.Combine(directory, "data"), "--http", "127.0.0.1:0", "--kafka",
                "off", "--flush", flush],
                new Dictionary<string, string?>(), Path.Combine(directory, "broker.log"));
        }
        catch (Win32Exception e)
        {
            System.IO.Directory.Delete(directory, recursive: true);
            throw CommandFailedException.Refused($"The benchmark's broker cannot be started: {e.Message}", e);
        }
    }

    private async Task<string> ReadyAsync(CancellationToken cancellationToken)
    {
        try
        {
            return await _process.Ready.WaitAsync(StartTimeout, cancellationToken).ConfigureAwait(false) is { } ready
                ? ready.Http
                : throw CommandFailedException.Refused(
                    $"The benchmark's broker ended with code {await _process.Ended.ConfigureAwait(false)}: {_process.LastLines()}");
        }
        catch (TimeoutException e)
        {
            throw CommandFailedException.Refused($"The benchmark's broker was not ready after {StartTimeout.TotalSeconds} s: "
                + $"{_process.LastLines()}", e);
        }
    }
}
