using System.Collections.Concurrent;
using OrleansMq.Diagnostics;

namespace OrleansMq.Tests.Engine.Brokers;

/// <summary>A log that records its messages.</summary>
internal sealed class RecordedLog : EngineLog
{
    private readonly ConcurrentQueue<(EngineLogLevel Level, string Message)> _lines = new();

    public IEnumerable<string> At(EngineLogLevel level) => _lines.Where(line => line.Level == level).Select(line => line.Message);

    public override void Write(EngineLogLevel level, string message, Exception? exception = null) =>
        _lines.Enqueue((level, $"{message} {exception}"));
}
