using System.Diagnostics;
using System.Text;

namespace OrleansMq.Tests.Chaos.Running;

/// <summary>A started program and its output, line by line. A last line without its end, within which the program was killed, is kept for
/// error messages alone. Dispose kills it with all its children.</summary>
internal sealed class StartedProgram : IAsyncDisposable
{
    // The number of output lines that an error message shows.
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
        start.Environment["OMQ_KAFKA"] = "off"; // Another broker on this machine may have the default port.
        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
            start.Environment[name] = value;
        _process = Process.Start(start)!;
        Id = _process.Id;
        // Not in the constructor: a listener may wait for what the caller learns from it.
        _reading = Task.WhenAll(Task.Run(() => ReadAsync(_process.StandardOutput, hear)),
            Task.Run(() => ReadAsync(_process.StandardError, hear)));
        _exit = EndAsync();
    }

    public int Id { get; }
    public bool HasExited => _exit.IsCompleted;

    /// <summary>Completes with the exit code when the program has ended and its output is read.</summary>
    public Task<int> ExitAsync() => _exit;

    /// <summary>The latest output.</summary>
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
        var (piece, unfinished) = (new char[4096], new StringBuilder());
        for (int read; (read = await output.ReadAsync(piece)) > 0;)
        {
            for (var i = 0; i < read; i++)
            {
                if (piece[i] != '\n')
                {
                    unfinished.Append(piece[i]);
                    continue;
                }
                var line = unfinished.ToString();
                unfinished.Clear();
                Keep(line);
                hear(line);
            }
        }
        if (unfinished.Length > 0)
            Keep(unfinished.ToString());
    }

    private void Keep(string line)
    {
        lock (_lines)
        {
            _lines.Enqueue(line);
            if (_lines.Count > LinesKept)
                _lines.Dequeue();
        }
    }
}
