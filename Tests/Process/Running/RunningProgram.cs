using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;

namespace OrleansMq.Tests.Process.Running;

/// <summary>The result of a program.</summary>
/// <param name="ExitCode">Its exit code.</param>
/// <param name="Output">Its standard output, byte by byte.</param>
/// <param name="Error">Its standard error.</param>
internal sealed record Outcome(int ExitCode, byte[] Output, string Error)
{
    public string Text => Encoding.UTF8.GetString(Output);
    public string[] Lines => Text.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>Fails the test with all output, unless the program exited with that code.</summary>
    public Outcome Expect(int exitCode)
    {
        Assert.True(ExitCode == exitCode,
            $"Exit code {ExitCode} instead of {exitCode}.\nOutput: {Text[..Math.Min(2000, Text.Length)]}\nError: {Error}");
        return this;
    }
}

/// <summary>A program that a test started. Dispose kills it with all its children.</summary>
internal sealed class RunningProgram : IAsyncDisposable
{
    /// <summary>The timeout of a single command, even on a busy machine.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly System.Diagnostics.Process _process;
    private readonly MemoryStream _output = new();
    private readonly StringBuilder _error = new();
    private readonly Task _reading;
    private readonly List<(Func<string, bool> Wanted, TaskCompletionSource<string> Found)> _waiting = [];
    private readonly List<string> _lines = [];

    public RunningProgram(string file, IEnumerable<string> arguments, string? directory = null, Stream? input = null,
        IReadOnlyDictionary<string, string?>? environment = null, Stream? outputTo = null)
    {
        var start = new ProcessStartInfo(file, arguments)
        {
            WorkingDirectory = directory ?? Path.GetTempPath(),
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["OMQ_ORLEANS"] = Repository.OrleansSwitch;
        start.Environment["OMQ_KAFKA"] = "off"; // Another broker on this machine may have the default port.
        foreach (var inherited in (string[])["OMQ_SERVER", "OMQ_DATA", "OMQ_HTTP", "OMQ_POSTGRES", "OMQ_POSTGRES_FILE"])
            start.Environment.Remove(inherited);
        foreach (var (name, value) in environment ?? new Dictionary<string, string?>())
            start.Environment[name] = value;
        _process = System.Diagnostics.Process.Start(start)!;
        var reading = Task.Factory.StartNew(() => ReadOutput(outputTo), CancellationToken.None, TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        _reading = Task.WhenAll(reading, Task.Run(ReadErrorAsync));
        _ = Task.Run(() => FeedAsync(input ?? Stream.Null));
    }

    public int Id => _process.Id;
    public bool HasExited => _process.HasExited;

    /// <summary>The output so far, line by line: standard output and error.</summary>
    public string[] Lines
    {
        get
        {
            var next = 0;
            return LinesFrom(ref next);
        }
    }

    /// <summary>Returns the output from that line on, counted from 0.</summary>
    /// <param name="next">The first line to return; set to the next line to come.</param>
    public string[] LinesFrom(ref int next)
    {
        lock (_lines)
        {
            var lines = _lines[next..];
            next = _lines.Count;
            return [.. lines];
        }
    }

    /// <summary>Runs the launcher to completion.</summary>
    public static async Task<Outcome> OmqAsync(IEnumerable<string> arguments, string? directory = null, byte[]? input = null,
        IReadOnlyDictionary<string, string?>? environment = null)
    {
        await using var program = new RunningProgram(Repository.Launcher, arguments, directory, input is null
            ? null : new MemoryStream(input), environment);
        return await program.ExitAsync();
    }

    /// <summary>Waits for a line of standard output or error. Fails when the program ends, or at the deadline.</summary>
    public async Task<string> LineAsync(Func<string, bool> wanted)
    {
        var found = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_lines)
        {
            if (_lines.Find(line => wanted(line)) is { } before)
                return before;
            _waiting.Add((wanted, found));
        }
        var first = await Task.WhenAny(found.Task, _reading).WaitAsync(Patience);
        return first == found.Task || found.Task.IsCompleted
            ? await found.Task : throw new InvalidOperationException($"The program ended instead: {Said()}");
    }

    /// <summary>Waits until the program has ended and its output is read.</summary>
    public async Task<Outcome> ExitAsync(TimeSpan? patience = null)
    {
        try
        {
            await _process.WaitForExitAsync().WaitAsync(patience ?? Patience);
            await _reading.WaitAsync(patience ?? Patience);
        }
        catch (TimeoutException)
        {
            throw new TimeoutException($"{_process.StartInfo.FileName} {string.Join(' ', _process.StartInfo.ArgumentList)} did not end: "
                + $"{Said()}");
        }
        lock (_lines)
            return new Outcome(_process.ExitCode, _output.ToArray(), _error.ToString());
    }

    /// <summary>Sends a signal: 2 is Ctrl-C, 9 kills, 15 terminates.</summary>
    public void Signal(int signal) => Assert.Equal(0, kill(_process.Id, signal));

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
            _process.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    private string Said()
    {
        lock (_lines)
            return string.Join('\n', _lines.TakeLast(30));
    }

    private void ReadOutput(Stream? outputTo)
    {
        var stream = _process.StandardOutput.BaseStream;
        if (outputTo is not null)
        {
            stream.CopyTo(outputTo, 1 << 20);
            return;
        }
        var buffer = new byte[64 << 10];
        var unfinished = new MemoryStream();
        for (int read; (read = stream.Read(buffer)) > 0;)
        {
            lock (_lines)
                _output.Write(buffer, 0, read);
            foreach (var b in buffer.AsSpan(0, read))
            {
                if (b != '\n')
                {
                    unfinished.WriteByte(b);
                    continue;
                }
                Hear(Encoding.UTF8.GetString(unfinished.GetBuffer(), 0, (int)unfinished.Length));
                unfinished.SetLength(0);
            }
        }
    }

    private async Task ReadErrorAsync()
    {
        while (await _process.StandardError.ReadLineAsync() is { } line)
        {
            lock (_lines)
                _error.AppendLine(line);
            Hear(line);
        }
    }

    private void Hear(string line)
    {
        lock (_lines)
        {
            _lines.Add(line);
            foreach (var (wanted, found) in _waiting)
            {
                if (wanted(line))
                    found.TrySetResult(line);
            }
        }
    }

    private async Task FeedAsync(Stream input)
    {
        try
        {
            await input.CopyToAsync(_process.StandardInput.BaseStream, 1 << 20);
            _process.StandardInput.Close();
        }
        catch (IOException)
        {
            // The program ended before it read all its input; its exit code says whether that is right.
        }
    }

#pragma warning disable IDE1006, SYSLIB1054 // The C library's own name; numbers need no generated marshalling.
    [DllImport("libc")]
    private static extern int kill(int processId, int signal);
#pragma warning restore IDE1006, SYSLIB1054
}
