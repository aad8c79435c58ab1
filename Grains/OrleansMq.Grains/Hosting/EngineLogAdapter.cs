using Microsoft.Extensions.Logging;
using OrleansMq.Diagnostics;

namespace OrleansMq.Grains.Hosting;

/// <summary>Writes the engine's log lines to the silo's log, under the category <c>OrleansMq</c>.</summary>
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
