using System.Collections.Concurrent;
using OrleansMq.Diagnostics;

namespace OrleansMq.Tests.Amqp.Sockets;

/// <summary>Keeps the lines of a log.</summary>
internal sealed class RecordedLog : EngineLog
{
    private readonly ConcurrentQueue<string> _lines = new();

    public IEnumerable<string> Lines => _lines;

    public override void Write(EngineLogLevel level, string message, Exception? exception = null) =>
        _lines.Enqueue($"{level}: {message}{(exception is null ? "" : $" {exception}")}");
}
