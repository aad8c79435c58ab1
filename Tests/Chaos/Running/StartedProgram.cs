using System.Diagnostics;

namespace OrleansMq.Tests.Chaos.Running;

/// <summary>A program that was started, and what it says line by line. What still runs when it is disposed is killed, with all it
/// started.</summary>
internal sealed class StartedProgram : IAsyncDisposable
{
    // What an error message shows of what it said.
    private const int LinesKept = 60;

    private readonly Process _process;
    private readonly Queue<string> _lines = new();
    private readonly Task _reading;
    private readonly Task<int> _exit;

    public StartedProgram(string file, IEnumerable<string> arguments, Action<string> hear,
        IReadOnlyDictionary<string, string>? environment = null)
    {
        var start = new ProcessStartInfo(file, arguments)
        {
            WorkingDirectory = Path.GetTempPath(),
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var inherited in start.Environment.Keys.Where(name => name.StartsWith("OMQ_", StringComparison.Ordinal)).ToList())
            start.Environment.Remove(inherited);
        start.Environment["OMQ_KAFKA"] = "off"; // Whatever else runs on this machine has the usual port.
        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
            start.Environment[name] = value;
        _process = Process.Start(start)!;
        Id = _process.Id;
        _reading = Task.WhenAll(ReadAsync(_process.StandardOutput, hear), ReadAsync(_process.StandardError, hear));
        _exit = EndAsync();
    }

    public int Id { get; }
    public bool HasExited => _exit.IsCompleted;

    /// <summary>Completes with the exit code when it has ended and all it said is read.</summary>
    public Task<int> ExitAsync() => _exit;

    /// <summary>The last it said.</summary>
    public string Said()
    {
        lock (_lines)
            return string.Join('\n', _lines);
    }

    public async ValueTask DisposeAsync()
    {
        if (!HasExited)
            _process.Kill(entireProcessTree: true);
        await _exit;
        _process.Dispose();
    }

    private async Task<int> EndAsync()
    {
        await _process.WaitForExitAsync();
        await _reading;
        return _process.ExitCode;
    }

    private async Task ReadAsync(StreamReader output, Action<string> hear)
    {
        while (await output.ReadLineAsync() is { } line)
        {
            lock (_lines)
            {
                _lines.Enqueue(line);
                if (_lines.Count > LinesKept)
                    _lines.Dequeue();
            }
            hear(line);
        }
    }
}
