using System.Diagnostics;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;
using OrleansMq.Client;

namespace OrleansMq.Consumers;

/// <summary>The metrics of one cursor's delivery to grains, in the client's meter. A listener that throws fails no delivery.
/// Thread-safe.</summary>
/// <param name="topic">The topic.</param>
/// <param name="queue">The cursor's name.</param>
/// <param name="logger">Is told once of a listener that throws.</param>
internal sealed partial class DispatchMetrics(string topic, string queue, ILogger logger)
{
    private static readonly Counter<long> s_delivered = OrleansMqDiagnostics.Meter.CreateCounter<long>(
        "orleansmq.grains.delivered.messages", "{message}", "Records delivered to grains, by what became of them.");

    private static readonly UpDownCounter<long> s_held = OrleansMqDiagnostics.Meter.CreateUpDownCounter<long>(
        "orleansmq.grains.held.messages", "{message}", "Records that this silo has received and not settled.");

    private static readonly UpDownCounter<long> s_calls = OrleansMqDiagnostics.Meter.CreateUpDownCounter<long>("orleansmq.grains.calls",
        "{call}", "Runs of records of a key that this silo delivers now: those that wait for their grain or a place, too.");

    private static readonly Histogram<double> s_duration = OrleansMqDiagnostics.Meter.CreateHistogram<double>(
        "orleansmq.grains.delivery.duration", "s", "From a run of records of a key that is ready to the answers of its grains.");

    private readonly TagList _tags = new()
    {
        { "messaging.system", OrleansMqDiagnostics.SystemName },
        { "messaging.destination.name", topic },
        { "messaging.consumer.group.name", NameOf(queue) },
    };

    private int _isReported;

    // The queues of replays come and go, each with an id behind the sign: one series for all of them.
    private static string NameOf(string queue) =>
        queue.IndexOf('@', StringComparison.Ordinal) is >= 0 and var at ? queue[..(at + 1)] : queue;

    /// <summary>Records were received.</summary>
    public void Received(int records) => Add(s_held, records, _tags);

    /// <summary>Records are settled, or have gone back.</summary>
    /// <param name="records">Their number.</param>
    /// <param name="action">What was done with them.</param>
    public void Ended(int records, DeliveryAction action)
    {
        Add(s_held, -records, _tags);
        if (!s_delivered.Enabled || records == 0)
            return;
        var tags = _tags;
        tags.Add("orleansmq.outcome", action switch
        {
            DeliveryAction.Complete => "served",
            DeliveryAction.Retry => "failed",
            DeliveryAction.Release => "returned",
            _ => "dead_lettered",
        });
        try
        {
            s_delivered.Add(records, tags);
        }
        catch (Exception faulty)
        {
            Report(faulty);
        }
    }

    /// <summary>A run is delivered. Returns when it began, for <see cref="Answered"/>.</summary>
    public long Begin()
    {
        Add(s_calls, 1, _tags);
        return TimeProvider.System.GetTimestamp();
    }

    /// <summary>A run is answered, or given up.</summary>
    public void Answered(long began)
    {
        Add(s_calls, -1, _tags);
        try
        {
            s_duration.Record(TimeProvider.System.GetElapsedTime(began).TotalSeconds, _tags);
        }
        catch (Exception faulty)
        {
            Report(faulty);
        }
    }

    private void Add(UpDownCounter<long> counter, long change, in TagList tags)
    {
        try
        {
            counter.Add(change, tags);
        }
        catch (Exception faulty)
        {
            Report(faulty);
        }
    }

    private void Report(Exception faulty)
    {
        if (Interlocked.Exchange(ref _isReported, 1) == 0)
            LogListenerFailed(topic, faulty);
    }

    [LoggerMessage(6, LogLevel.Error, "A listener to the metrics of the delivery of {Topic} threw. It is not reported again.")]
    private partial void LogListenerFailed(string topic, Exception faulty);
}
