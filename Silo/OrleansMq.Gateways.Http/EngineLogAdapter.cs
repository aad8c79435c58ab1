using OrleansMq.Diagnostics;

namespace OrleansMq.Gateways.Http;

/// <summary>Writes the engine's log lines to the host's log.</summary>
internal sealed partial class EngineLogAdapter(ILogger logger) : EngineLog
{
    /// <inheritdoc/>
    public override void Write(EngineLogLevel level, string message, Exception? exception = null)
    {
        var mapped = level switch
        {
            EngineLogLevel.Debug => LogLevel.Debug,
            EngineLogLevel.Information => LogLevel.Information,
            EngineLogLevel.Warning => LogLevel.Warning,
            _ => LogLevel.Error,
        };
        Say(logger, mapped, message, exception);
    }

    [LoggerMessage(EventId = 1, Message = "{Message}")]
    private static partial void Say(ILogger logger, LogLevel level, string message, Exception? exception);
}
