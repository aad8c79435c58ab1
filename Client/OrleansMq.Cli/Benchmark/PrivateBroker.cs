using System.ComponentModel;
using OrleansMq.Cli.Clusters;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Benchmark;

/// <summary>A broker started for the benchmark: a process with a fresh data directory and a free port. Both are removed on
/// dispose.</summary>
internal sealed class PrivateBroker : IAsyncDisposable
{
    // A broker with an empty directory is ready in under a second. One minute allows for a busy machine.
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(20);

    private readonly SiloProcess _process;
    private Uri? _address;

    private PrivateBroker(SiloProcess process, string directory)
    {
        _process = process;
        Directory = directory;
    }

    /// <summary>A directory on the volume that the broker writes to, for other measurements.</summary>
    public string Directory { get; }

    /// <summary>The broker's HTTP address.</summary>
    public Uri Address => _address!;

    /// <summary>Starts a broker and waits until it is ready.</summary>
    /// <exception cref="CommandFailedException">The broker program is missing or did not become ready; the message has its last
    /// lines.</exception>
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

    /// <summary>Stops the broker and deletes its directory.</summary>
    public async ValueTask DisposeAsync()
    {
        _process.Terminate();
        // A process that does not end in time is killed on dispose.
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
