using System.Diagnostics.Metrics;

namespace OrleansMq.Gateways.Http.Metrics;

/// <summary>Commits that went through this broker, whichever broker coordinates their group.</summary>
internal sealed class GroupTraffic
{
    private Histogram<double>? _duration;
    private long _stored;
    private long _refused;

    /// <summary>A commit was answered.</summary>
    /// <param name="stored">Whether an offset of it was stored.</param>
    /// <param name="duration">From the request to the answer.</param>
    public void Committed(bool stored, TimeSpan duration)
    {
        Interlocked.Increment(ref stored ? ref _stored : ref _refused);
        if (stored)
            _duration?.Record(duration.TotalSeconds);
    }

    /// <summary>Adds the instruments that report it.</summary>
    public void AddTo(Meter meter)
    {
        meter.CreateObservableCounter("orleansmq.group.commits", () => Interlocked.Read(ref _stored), "{commit}",
            "Offset commits stored, of all groups.");
        meter.CreateObservableCounter("orleansmq.group.commit.refusals", () => Interlocked.Read(ref _refused), "{commit}",
            "Offset commits refused or failed, of all groups.");
        _duration = meter.CreateHistogram("orleansmq.group.commit.duration", "s",
            "From the request of an offset commit until it is stored.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                0.5, 1, 2.5, 5] });
    }
}
