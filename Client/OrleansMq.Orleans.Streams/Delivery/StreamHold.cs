using OrleansMq.Api;

namespace OrleansMq.Streams;

/// <summary>For how long a replay that joins the shared cursor holds its stream, and how far it was when it was last known. It lasts over
/// failures of the silo that carries the replay out.</summary>
/// <param name="from">The first offset of the replay.</param>
internal sealed class StreamHold(long from)
{
    private long? _since;

    /// <summary>An offset that the subscription has served everything below: the first one that was not settled at the last look.</summary>
    public long Unsettled { get; private set; } = from;

    /// <summary>How often the event at that offset had failed.</summary>
    public int Failures { get; private set; }

    /// <summary>For how long the stream has waited, as far as this silo knows; null: it does not.</summary>
    public TimeSpan? Elapsed => _since is { } since ? TimeProvider.System.GetElapsedTime(since) : null;

    /// <summary>Takes what a look has found.</summary>
    /// <param name="unsettled">The first record that is not settled; null: all that the queue has is.</param>
    /// <param name="stable">The end of what the queue had before that.</param>
    public void Note(QueueRecord? unsettled, long stable)
    {
        if (unsettled is not null)
            (Unsettled, Failures) = (unsettled.Offset, unsettled.Failures);
        else if (stable > Unsettled)
            (Unsettled, Failures) = (stable, 0);
    }

    /// <summary>Returns a step, from whose first sight the time counts where the stream waits then.</summary>
    public ReplayStep? See(ReplayStep? step)
    {
        if (step == ReplayStep.Joining)
            _since ??= TimeProvider.System.GetTimestamp();
        return step;
    }
}
