using System.Text;

namespace OrleansMq.Tests.Chaos.Subscriptions;

/// <summary>The file to which a silo's subscribers write. What is written survives the process.</summary>
internal sealed class SubscriptionFile(string directory) : IDisposable
{
    private readonly Lock _lock = new();
    private readonly FileStream _file = new(Path.Combine(directory, $"{Environment.ProcessId}.events"), FileMode.Append, FileAccess.Write,
        FileShare.Read, bufferSize: 0);

    /// <summary>Writes an event, in one call of the system.</summary>
    public void Write(SubscriptionEvent happened)
    {
        var line = Encoding.UTF8.GetBytes($"{happened.ToLine()}\n");
        lock (_lock)
            _file.Write(line);
    }

    public void Dispose() => _file.Dispose();
}

/// <summary>Reads what the subscribers of all silos have written, also those of killed ones. Not thread safe.</summary>
internal sealed class SubscriptionFiles(string directory)
{
    private readonly Dictionary<string, long> _read = [];

    /// <summary>Returns what has come since the last call, of each process in order.</summary>
    public IReadOnlyList<SubscriptionEvent> Read() =>
        [.. Directory.GetFiles(directory, "*.events").SelectMany(ReadFile)];

    private List<SubscriptionEvent> ReadFile(string path)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        file.Position = _read.GetValueOrDefault(path);
        var bytes = new byte[file.Length - file.Position];
        file.ReadExactly(bytes);
        // A line that is being written is read the next time.
        var whole = bytes.AsSpan().LastIndexOf((byte)'\n') + 1;
        _read[path] = _read.GetValueOrDefault(path) + whole;
        return [.. Encoding.UTF8.GetString(bytes, 0, whole).Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(SubscriptionEvent.Parse)];
    }
}
