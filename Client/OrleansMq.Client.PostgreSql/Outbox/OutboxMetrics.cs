using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace OrleansMq.Client.PostgreSql;

/// <summary>The metrics of outboxes, in the client's meter. The process whose relay is in charge reports the gauges.</summary>
internal static class OutboxMetrics
{
    private static readonly ConcurrentDictionary<string, PostgresOutboxStatus> s_statuses = new(StringComparer.Ordinal);

    static OutboxMetrics()
    {
        OrleansMqDiagnostics.Meter.CreateObservableGauge("orleansmq.outbox.pending", static () => Measure(static status => status.Pending),
            "{message}", "Messages of an outbox that are not known to be delivered.");
        OrleansMqDiagnostics.Meter.CreateObservableGauge("orleansmq.outbox.parked", static () => Measure(static status => status.Parked),
            "{message}", "Messages of an outbox that are parked.");
        OrleansMqDiagnostics.Meter.CreateObservableGauge("orleansmq.outbox.pending.age", static () => Measure(static status =>
            status.OldestPending is { } oldest ? (TimeProvider.System.GetUtcNow() - oldest).TotalSeconds : 0), "s",
            "The age of the oldest message of an outbox that is not known to be delivered.");
    }

    public static Counter<long> Parked { get; } = OrleansMqDiagnostics.Meter.CreateCounter<long>("orleansmq.outbox.parked.messages",
        "{message}", "Messages of outboxes that their topic refused for good.");

    public static Counter<long> Retries { get; } = OrleansMqDiagnostics.Meter.CreateCounter<long>("orleansmq.outbox.retries", "{attempt}",
        "Attempts of outboxes to send messages that failed, and are repeated.");

    public static void Set(string outbox, PostgresOutboxStatus status) => s_statuses[outbox] = status;

    public static void Forget(string outbox) => s_statuses.TryRemove(outbox, out _);

    private static IEnumerable<Measurement<T>> Measure<T>(Func<PostgresOutboxStatus, T> value) where T : struct =>
        [.. s_statuses.Select(status => new Measurement<T>(value(status.Value),
            new KeyValuePair<string, object?>("orleansmq.outbox", status.Key)))];
}
