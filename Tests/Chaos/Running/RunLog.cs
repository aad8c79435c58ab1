using System.Diagnostics;
using System.Globalization;

namespace OrleansMq.Tests.Chaos.Running;

/// <summary>The log of a run, with the seconds since its start: all lines in a file beside the data, headlines in the test's output,
/// too.</summary>
internal sealed class RunLog(string path, Action<string> headline) : IDisposable
{
    private readonly Lock _lock = new();
    private readonly long _begin = Stopwatch.GetTimestamp();
    private readonly StreamWriter _file = new(path) { AutoFlush = true };

    public string Path { get; } = path;

    /// <summary>Logs a headline.</summary>
    public void Tell(string what)
    {
        var line = Line(what);
        lock (_lock)
            _file.WriteLine(line);
        headline(line);
    }

    /// <summary>Logs a detail, in the file alone.</summary>
    public void Note(string what)
    {
        lock (_lock)
            _file.WriteLine(Line(what));
    }

    public void Dispose()
    {
        lock (_lock)
            _file.Dispose();
    }

    private string Line(string what) =>
        string.Create(CultureInfo.InvariantCulture, $"{Stopwatch.GetElapsedTime(_begin).TotalSeconds,8:F3} {what}");
}
