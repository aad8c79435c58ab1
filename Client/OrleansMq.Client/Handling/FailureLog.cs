using Microsoft.Extensions.Logging;

namespace OrleansMq.Client;

/// <summary>
/// Logs records that failed. The first of a kind has a line of its own. Further ones within <see cref="Period"/> are counted, and the count
/// is one line. A kind is a topic, an outcome and the type of the exception.
/// </summary>
/// <param name="groupId">The group; null without one.</param>
/// <param name="time">The clock of the periods.</param>
/// <param name="logger">Where lines go.</param>
internal sealed partial class FailureLog(string? groupId, TimeProvider time, ILogger logger) : IDisposable
{
    /// <summary>How long failures of one kind are counted before they are logged.</summary>
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(10);

    private readonly string _group = groupId ?? "(none)";
    private readonly Lock _gate = new();
    private readonly Dictionary<Kind, Series> _series = [];
    private ITimer? _timer;
    private bool _disposed;

    /// <summary>Reports a failed record.</summary>
    /// <param name="level">Warning for an attempt that is followed by another, error for a record that is given up.</param>
    /// <param name="record">The record's partition.</param>
    /// <param name="offset">The record's offset.</param>
    /// <param name="failure">Why it failed.</param>
    /// <param name="attempts">How often it was handled; 0 if it could not be deserialized.</param>
    /// <param name="outcome">What becomes of it, the same text for all records of a topic.</param>
    public void Report(LogLevel level, TopicPartition record, long offset, Exception failure, int attempts, string outcome)
    {
        var (what, cause) = failure is DeserializationException { InnerException: { } inner } undecodable
            ? ($"its {undecodable.Part} cannot be deserialized", inner)
            : ($"attempt {attempts} failed", failure);
        // The place in a handler that threw is worth its lines once. That of a deserializer is in its message, and in the dead letter.
        Report(new Kind(level, record.Topic, outcome, cause.GetType()), record, offset, what, $"{cause.GetType().Name}: {cause.Message}",
            ReferenceEquals(cause, failure) ? failure : null);
    }

    /// <summary>Reports a record that its handler gave up.</summary>
    public void Report(LogLevel level, TopicPartition record, long offset, string reason, string outcome) =>
        Report(new Kind(level, record.Topic, outcome, null), record, offset, "the handler gave it up", reason, null);

    private void Report(Kind kind, TopicPartition record, long offset, string what, string text, Exception? shown)
    {
        var reason = text.ReplaceLineEndings(" ");
        lock (_gate)
        {
            if (_series.TryGetValue(kind, out var series))
            {
                _series[kind] = new Series(series.Count + 1, record, offset, reason);
                return;
            }
            if (!_disposed)
            {
                _series[kind] = default;
                _timer ??= time.CreateTimer(static log => ((FailureLog)log!).EndPeriod(), this, Period, Period);
            }
        }
        LogFirst(logger, kind.Level, shown, _group, record, offset, what, kind.Outcome, reason);
    }

    /// <summary>Logs what was counted.</summary>
    public void Dispose()
    {
        lock (_gate)
            _disposed = true;
        EndPeriod();
        lock (_gate)
        {
            _series.Clear();
            _timer?.Dispose();
        }
    }

    private void EndPeriod()
    {
        List<(Kind Kind, Series Series)> counted = [];
        lock (_gate)
        {
            foreach (var (kind, series) in _series.ToArray())
            {
                if (series.Count == 0)
                {
                    _series.Remove(kind);
                    continue;
                }
                counted.Add((kind, series));
                _series[kind] = default;
            }
            if (_series.Count == 0)
            {
                _timer?.Dispose();
                _timer = null;
            }
        }
        foreach (var (kind, series) in counted)
            LogMore(logger, kind.Level, _group, kind.Topic, series.Count, kind.Outcome, series.Last, series.Offset, series.Reason);
    }

    private readonly record struct Kind(LogLevel Level, string Topic, string Outcome, Type? Cause);

    private readonly record struct Series(long Count, TopicPartition Last, long Offset, string Reason);

    [LoggerMessage(EventId = 41, Message = "Group {Group}: {Partition}, offset {Offset}: {What}; {Outcome}. {Reason}")]
    private static partial void LogFirst(ILogger logger, LogLevel level, Exception? exception, string group, TopicPartition partition,
        long offset, string what, string outcome, string reason);

    [LoggerMessage(EventId = 42, Message = "Group {Group}: topic {Topic}: {Count} more failed in the same way; {Outcome}. The last was "
        + "{Partition}, offset {Offset}. {Reason}")]
    private static partial void LogMore(ILogger logger, LogLevel level, string group, string topic, long count, string outcome,
        TopicPartition partition, long offset, string reason);
}
