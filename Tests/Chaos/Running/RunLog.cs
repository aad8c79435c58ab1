using System.Diagnostics;
using System.Globalization;

namespace OrleansMq.Tests.Chaos.Running;

/// <summary>What happened in a run, with the seconds since it began: into a file beside the data, and the headlines where the test
/// says.</summary>
internal sealed class RunLog(string path, Action<string> headline) : IDisposable
{
    private readonly Lock _lock = new();
    private readonly long _begin = Stopwatch.GetTimestamp();
    private readonly StreamWriter _file = new(path) { AutoFlush = true };

    public string Path { get; } = path;

    /// <summary>A line of the run's story.</summary>
    public void Tell(string what)
    {
        var line = Line(what);
        lock (_lock)
            _file.WriteLine(line);
        headline(line);
    }

    /// <summary>A line that only somebody who looks for a reason reads.</summary>
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
