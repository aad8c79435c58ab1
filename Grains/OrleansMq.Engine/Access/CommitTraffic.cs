using System.Diagnostics.Metrics;

namespace OrleansMq.Access;

/// <summary>Offset commits that sessions sent through this broker, whichever broker coordinates their group. Thread safe.</summary>
internal sealed class CommitTraffic
{
    private Histogram<double>? _duration;
    private long _stored;
    private long _refused;

    /// <summary>Commits of which at least one offset was stored.</summary>
    public long Stored => Interlocked.Read(ref _stored);

    /// <summary>Commits of which none was.</summary>
    public long Refused => Interlocked.Read(ref _refused);

    /// <summary>Adds the instruments that report the commits.</summary>
    public void AddTo(Meter meter)
    {
        ArgumentNullException.ThrowIfNull(meter);
        meter.CreateObservableCounter("orleansmq.group.commits", () => Stored, "{commit}",
            "Offset commits stored, of all groups.");
        meter.CreateObservableCounter("orleansmq.group.commit.refusals", () => Refused, "{commit}",
            "Offset commits refused or failed, of all groups.");
        _duration = meter.CreateHistogram("orleansmq.group.commit.duration", "s",
            "From the request of an offset commit until it is stored.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                0.5, 1, 2.5, 5] });
    }

    /// <summary>Counts a commit that was answered.</summary>
    /// <param name="stored">Whether at least one of its offsets was stored.</param>
    /// <param name="duration">From the request to the answer.</param>
    internal void Committed(bool stored, TimeSpan duration)
    {
        Interlocked.Increment(ref stored ? ref _stored : ref _refused);
        if (stored)
            _duration?.Record(duration.TotalSeconds);
    }
}
