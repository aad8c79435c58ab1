namespace OrleansMq.Log;

/// <summary>How a log was found when it was opened.</summary>
/// <param name="IsClean">The last process closed it in good order.</param>
/// <param name="CutMoreThanLastWrite">Recovery cut off more than what a write leaves that its process did not live to finish.</param>
internal readonly record struct OpeningReport(bool IsClean, bool CutMoreThanLastWrite);

// What replication keeps beside the log: in the checkpoint, so that it costs no file of its own and no further flush.
internal sealed partial class SegmentedLog
{
    private ReplicaMarks _marks;
    private long _highWatermark;

    /// <summary>How it was found.</summary>
    public OpeningReport Opening { get; private set; }

    /// <summary>What is written down for the replica, but for the high watermark as <see cref="NoteHighWatermark"/> was told it
    /// last.</summary>
    public ReplicaMarks Marks
    {
        get
        {
            lock (_flushLock)
                return _marks with { HighWatermark = Volatile.Read(ref _highWatermark) };
        }
    }

    /// <summary>Writes down what is to be known of the replica; durable when it returns.</summary>
    public void WriteMarks(in ReplicaMarks marks)
    {
        lock (_flushLock)
            WriteCheckpoint(DescribeForCheckpoint() with { Replica = marks with { HighWatermark = Volatile.Read(ref _highWatermark) } });
    }

    /// <summary>Writes the high watermark down if it has moved since; durable when it returns.</summary>
    public void WriteHighWatermark()
    {
        lock (_flushLock)
        {
            if (_marks.HighWatermark != Volatile.Read(ref _highWatermark))
                WriteCheckpoint();
        }
    }

    /// <summary>A high watermark that was reached: goes out with the next checkpoint, without a flush of its own.</summary>
    public void NoteHighWatermark(long offset) => Volatile.Write(ref _highWatermark, offset);

    /// <summary>
    /// The disk failed: what was acknowledged may be gone, so this copy must not pass for the member it was. Without a flush, since the
    /// next process finds what the system holds, and one on another boot gives the incarnation up anyway.
    /// </summary>
    /// <exception cref="IOException">Not even that could be written.</exception>
    public void ForgetIncarnation()
    {
        lock (_flushLock)
        {
            _marks = _marks with { Incarnation = Guid.Empty };
            using var lease = _checkpointFile.Rent();
            _checkpoint.WriteWithoutFlush(lease.File, DescribeForCheckpoint());
        }
    }
}
