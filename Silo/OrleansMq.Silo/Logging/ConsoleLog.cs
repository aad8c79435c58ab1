using System.Globalization;
using System.Text;

namespace OrleansMq.Silo.Logging;

/// <summary>
/// Logs to standard error, one line an entry: time in UTC, level, category, message. Each line is written at once, so that the last ones of
/// a process are not lost in a queue. Logging is rare enough for that, and never happens for each request.
/// </summary>
internal sealed class ConsoleLog(TextWriter writer, LogLevel minimum, TimeProvider timeProvider) : ILoggerProvider
{
    // The web framework's line for each connection above its limit: clients could fill the log with it.
    private const string Rejection = "ConnectionRejected";
    private static readonly TimeSpan RejectionInterval = TimeSpan.FromMinutes(1);

    private readonly Lock _lock = new();
    private long? _lastRejection;

    /// <inheritdoc/>
    public ILogger CreateLogger(string categoryName) => new Category(this, categoryName);

    /// <inheritdoc/>
    public void Dispose() { }

    private void Write(LogLevel level, string category, string message, Exception? exception)
    {
        var line = new StringBuilder(128);
        line.Append(timeProvider.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture));
        line.Append(' ').Append(Name(level)).Append(' ').Append(category).Append(": ");
        AppendOnOneLine(line, message);
        if (exception is not null)
        {
            line.Append(" | ");
            AppendOnOneLine(line, exception.ToString());
        }
        lock (_lock)
        {
            writer.WriteLine(line);
            writer.Flush();
        }
    }

    private static void AppendOnOneLine(StringBuilder line, string text)
    {
        foreach (var part in text.AsSpan().EnumerateLines())
            line.Append(part.Trim()).Append(' ');
        line.Length--;
    }

    private static string Name(LogLevel level) => level switch
    {
        LogLevel.Trace => "trace",
        LogLevel.Debug => "debug",
        LogLevel.Information => "info ",
        LogLevel.Warning => "WARN ",
        LogLevel.Error => "ERROR",
        _ => "FATAL",
    };

    private sealed class Category(ConsoleLog log, string name) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= log.MinimumFor(name) && logLevel != LogLevel.None;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter)
        {
            // A failed start ends the program, which reports the cause in a line of its own.
            if (IsEnabled(logLevel) && eventId.Name != "HostedServiceStartupFaulted"
                && (eventId.Name != Rejection || log.MayLogRejection()))
                log.Write(logLevel, name, formatter(state, exception), exception);
        }
    }

    private bool MayLogRejection()
    {
        lock (_lock)
        {
            if (_lastRejection is { } last && timeProvider.GetElapsedTime(last) < RejectionInterval)
                return false;
            _lastRejection = timeProvider.GetTimestamp();
            return true;
        }
    }

    /// <summary>Returns the lowest level for a category. The web framework's own information lines are dropped.</summary>
    private LogLevel MinimumFor(string category) =>
        minimum > LogLevel.Debug && minimum < LogLevel.Warning && category.StartsWith("Microsoft.", StringComparison.Ordinal)
        ? LogLevel.Warning : minimum;
}
