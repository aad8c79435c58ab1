using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.PostgreSql.Servers;

namespace OrleansMq.Cli.Clusters;

/// <summary>The addresses that a broker reports when it is ready.</summary>
/// <param name="Http">The address of its HTTP API.</param>
/// <param name="Orleans">The address for other silos, <c>address:port</c>.</param>
/// <param name="Gateway">The address for Orleans clients, <c>address:port</c>.</param>
/// <param name="Kafka">The address for Kafka clients; null without a Kafka listener.</param>
/// <param name="Amqp">The address for AMQP clients; null without an AMQP listener.</param>
internal sealed record SiloReady(string Http, string? Orleans = null, string? Gateway = null, string? Kafka = null, string? Amqp = null);

/// <summary>One process of the broker program. It ends with this process, however that ends.</summary>
internal sealed class SiloProcess : IAsyncDisposable
{
    // The lines that the report of a failed start shows.
    private const int LinesKept = 5;

    private readonly Process _process;
    private readonly StreamWriter _log;
    private readonly Queue<string> _lastLines = new();
    private readonly TaskCompletionSource<SiloReady?> _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private SiloProcess(Process process, StreamWriter log)
    {
        _process = process;
        _process.StandardInput.Close();
        _log = log;
        Id = process.Id;
        Ended = EndAsync(ReadAsync(process.StandardOutput, Look), ReadAsync(process.StandardError, null));
    }

    /// <summary>The process id.</summary>
    public int Id { get; }

    /// <summary>Completes when it is ready; with null if it ended before.</summary>
    public Task<SiloReady?> Ready => _ready.Task;

    /// <summary>Completes when it has ended, with its exit code: 128 plus the signal if a signal ended it.</summary>
    public Task<int> Ended { get; }

    /// <summary>Starts a process.</summary>
    /// <param name="words">The program and its flags.</param>
    /// <param name="environment">Overrides for the inherited environment; null removes a variable.</param>
    /// <param name="logFile">The file to which all output is appended.</param>
    public static SiloProcess Start(IEnumerable<string> words, IReadOnlyDictionary<string, string?> environment, string logFile)
    {
        var start = BrokerProgram.Start(ChildProcess.Tied("KILL", words));
        foreach (var (name, value) in environment)
            start.Environment[name] = value;
        var log = new StreamWriter(new FileStream(logFile, FileMode.Append, FileAccess.Write, FileShare.ReadWrite)) { AutoFlush = true };
        try
        {
            return new SiloProcess(ChildProcess.Start(start), log);
        }
        catch
        {
            log.Dispose();
            throw;
        }
    }

    /// <summary>Requests a clean shutdown. A process stopped by SIGSTOP is continued first.</summary>
    public void Terminate()
    {
        if (OperatingSystem.IsWindows())
        {
            Kill();
            return;
        }
        Signal(Termination);
        Signal(OperatingSystem.IsMacOS() ? ContinueOnMacOS : Continue);
    }

    /// <summary>Kills the process.</summary>
    public void Kill()
    {
        if (!_process.HasExited)
            _process.Kill();
    }

    /// <summary>Returns its last lines of output.</summary>
    public string LastLines()
    {
        lock (_lastLines)
            return string.Join(" | ", _lastLines);
    }

    /// <summary>Kills the process if it still runs.</summary>
    public async ValueTask DisposeAsync()
    {
        Kill();
        await Ended.ConfigureAwait(false);
        _process.Dispose();
    }

    private async Task<int> EndAsync(params Task[] reading)
    {
        await _process.WaitForExitAsync().ConfigureAwait(false);
        await Task.WhenAll(reading).ConfigureAwait(false);
        await _log.DisposeAsync().ConfigureAwait(false);
        _ready.TrySetResult(null);
        return _process.ExitCode;
    }

    private async Task ReadAsync(StreamReader output, Action<string>? look)
    {
        while (await output.ReadLineAsync().ConfigureAwait(false) is { } line)
        {
            lock (_lastLines)
            {
                _log.WriteLine(line);
                _lastLines.Enqueue(line);
                if (_lastLines.Count > LinesKept)
                    _lastLines.Dequeue();
            }
            look?.Invoke(line);
        }
    }

    /// <summary>Looks for the line of JSON on standard output with which the broker reports that it is ready, and its addresses.</summary>
    private void Look(string line)
    {
        if (line.StartsWith('{') && JsonSerializer.Deserialize(line, SiloJson.Default.SiloReady) is { Http: not null } ready)
            _ready.TrySetResult(ready);
    }

    private void Signal(int signal)
    {
        if (!_process.HasExited)
            _ = kill(Id, signal);
    }

    private const int Termination = 15; // SIGTERM
    private const int Continue = 18; // SIGCONT
    private const int ContinueOnMacOS = 19;

#pragma warning disable IDE1006, SYSLIB1054 // The C library's names; numbers need no generated marshalling.
    [DllImport("libc")]
    private static extern int kill(int processId, int signal);
#pragma warning restore IDE1006, SYSLIB1054
}

/// <summary>The JSON of that line; unknown members are ignored.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(SiloReady))]
internal sealed partial class SiloJson : JsonSerializerContext;
