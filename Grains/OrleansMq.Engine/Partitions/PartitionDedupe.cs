using OrleansMq.Api;
using OrleansMq.Dedupe;

namespace OrleansMq.Partitions;

/// <summary>
/// What a partition's leader does about message ids beside appends: it forgets those that have left the window while no others come, and
/// tells again those that keep the log from starting later. Thread safe.
/// </summary>
/// <remarks>
/// State: three counters, whether a task is under way, and since when the log's time is ahead of the clock. What is remembered is the
/// log's.
/// <para>Retention waits until it frees much more than ids that are told again take. Otherwise, with small segments, they would fill the
/// segments that are deleted next, without an end.</para>
/// Failures: a change that is refused or not
/// replicated in time changes nothing, and maintenance tries again.
/// </remarks>
internal sealed class PartitionDedupe(Partition partition)
{
    // About 200 KB.
    private const int MostIds = 5_000;
    private const int BytesOfId = 40;
    private const int LeastFreedByByte = 4;

    private (int Epoch, long Time, long Since)? _ahead;
    private long _leftOut;
    private long _forgottenEarly;
    private int _reported;
    private int _isUnderWay;

    /// <summary>The number of records that were left out as duplicates since the partition was opened here.</summary>
    public long LeftOut => Volatile.Read(ref _leftOut);

    /// <summary>The number of ids that were forgotten within the window since then, since there were too many.</summary>
    public long ForgottenEarly => Volatile.Read(ref _forgottenEarly);

    /// <summary>The number of ids that are remembered; without the append lock that of a moment ago.</summary>
    public int Remembered => partition.Log?.State.Dedupe.Count ?? 0;

    /// <summary>Tells the broker how many ids are remembered.</summary>
    public void Report(int ids)
    {
        var before = Interlocked.Exchange(ref _reported, ids);
        if (before != ids)
            partition.Ports.MessageIds.Report(before, ids);
    }

    /// <summary>Returns the most ids that may be left when some are added: by the topic's number, and by that of the broker. Under the
    /// append lock.</summary>
    public int MostLeft(LogDedupe known, int added)
    {
        Report(known.Count);
        return Math.Min(partition.Config.DedupeMaxIds - added, partition.Ports.MessageIds.Allow(known.Count, added));
    }

    /// <summary>Returns the time by which the leader measures the window. Where the log's latest time is ahead of the clock, this one or an
    /// earlier leader's was wrong: time goes on from there, so that the window ends. Under the append lock.</summary>
    /// <param name="known">What the log remembers.</param>
    /// <param name="now">The broker's time, in milliseconds since 1970.</param>
    public long TimeOf(LogDedupe known, long now)
    {
        if (now >= known.LatestTime)
        {
            _ahead = null;
            return now;
        }
        var clock = partition.Ports.Log.Time;
        if (_ahead is { } ahead && ahead.Epoch == partition.LeaderEpoch
            && ahead.Time + (long)clock.GetElapsedTime(ahead.Since).TotalMilliseconds is var time && time >= known.LatestTime)
            return time;
        _ahead = (partition.LeaderEpoch, known.LatestTime, clock.GetTimestamp());
        return known.LatestTime;
    }

    /// <summary>Counts records that were left out.</summary>
    public void NoteLeftOut(int records) => Interlocked.Add(ref _leftOut, records);

    /// <summary>Counts ids that were forgotten within the window.</summary>
    public void NoteForgottenEarly(int ids)
    {
        if (ids > 0)
            Interlocked.Add(ref _forgottenEarly, ids);
    }

    /// <summary>Forgets what has left the window, and begins to let the log start at an offset if that is worth its bytes. Only one call at
    /// a time does something.</summary>
    /// <param name="start">The offset.</param>
    /// <param name="freedBytes">The bytes of the segments below it.</param>
    public void Maintain(long start, long freedBytes)
    {
        if (partition.Replication.Leadership is not { } leadership)
            return;
        if (!IsWorth(start, freedBytes))
            start = 0;
        if (Next(start) is not { } first
            || Interlocked.Exchange(ref _isUnderWay, 1) != 0)
            return;
        _ = RunAsync();

        async Task RunAsync()
        {
            try
            {
                await AppendAllAsync(leadership.Epoch, start, first).ConfigureAwait(false);
            }
            finally
            {
                Volatile.Write(ref _isUnderWay, 0);
            }
        }
    }

    /// <summary>Lets the log start at an offset, as far as message ids keep it from that.</summary>
    /// <exception cref="BrokerException">The change was refused, or was not replicated in time.</exception>
    public async Task RestateAsync(long start, CancellationToken cancellationToken)
    {
        if (partition.Replication.Leadership is not { } leadership || Next(start) is not { } first)
            return;
        var result = await AppendAllAsync(leadership.Epoch, start, first).WaitAsync(cancellationToken).ConfigureAwait(false);
        if (result.Error != ErrorCode.None)
            throw new BrokerException(result.Error, $"The message ids of {partition.TopicPartition} could not be written anew above offset "
                + $"{start}. Nothing was deleted; retry. {result.Message}");
    }

    // Ids that expire meanwhile are forgotten by the next call, or with the next claims: the statements end with what is told.
    private async Task<ProduceResult> AppendAllAsync(int epoch, long start, DedupeStatement first)
    {
        for (var change = first; ; )
        {
            var batch = DedupeRecord.Build(change, partition.Ports.Log.Now);
            var result = await partition.Appends.AppendControlAsync(batch, new EpochAppend(epoch)).ConfigureAwait(false);
            if (result.Error != ErrorCode.None || change.Ids.Count < MostIds || Next(start, change.Ids[^1].Offset + 1) is not { } next)
                return result;
            change = next;
        }
    }

    private bool IsWorth(long start, long freedBytes)
    {
        var log = partition.Log!;
        lock (log.AppendLock)
            return (log.State.Dedupe.CountTold(start) + 1L) * BytesOfId * LeastFreedByByte <= freedBytes;
    }

    private DedupeStatement? Next(long start, long from = 0)
    {
        var log = partition.Log!;
        lock (log.AppendLock)
        {
            var (known, now, window) = (log.State.Dedupe, partition.Ports.Log.Now, partition.Config.DedupeWindowMs);
            var time = window > 0 ? TimeOf(known, now) : now;
            return known.Restate(start, DedupeDecision.WindowStart(known, time, window), time, MostIds, from, restartsTime: window == 0);
        }
    }

    private sealed class EpochAppend(int epoch) : IControlAppend
    {
        public int Epoch => epoch;

        public void OnWritten(long offset)
        {
            // The answer comes when it is in force.
        }
    }
}
