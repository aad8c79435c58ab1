using Microsoft.Extensions.Logging;
using OrleansMq.Diagnostics;

namespace OrleansMq.Connections;

/// <summary>Writes the engine's log lines to the log of a silo or Orleans client, under the category <c>OrleansMq</c>.</summary>
internal sealed class EngineLogAdapter(ILoggerFactory loggers) : EngineLog
{
    private readonly ILogger _log = loggers.CreateLogger("OrleansMq");

    /// <inheritdoc/>
    public override void Write(EngineLogLevel level, string message, Exception? exception = null) => _log.Log(level switch
    {
        EngineLogLevel.Debug => LogLevel.Debug,
        EngineLogLevel.Information => LogLevel.Information,
        EngineLogLevel.Warning => LogLevel.Warning,
        _ => LogLevel.Error,
    }, default, message, exception, static (text, _) => text);
}
