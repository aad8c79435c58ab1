namespace OrleansMq.Log;

/// <summary>The state of a log when it was opened.</summary>
/// <param name="IsClean">Whether the last process closed it cleanly.</param>
/// <param name="CutMoreThanLastWrite">Whether recovery cut more than an unfinished last write.</param>
internal readonly record struct OpeningReport(bool IsClean, bool CutMoreThanLastWrite);

// What replication stores beside the log. It is part of the checkpoint, so it costs neither a file nor a flush of its own.
internal sealed partial class SegmentedLog
{
    private ReplicaMarks _marks;
    private long _highWatermark;

    /// <summary>The state in which the log was opened.</summary>
    public OpeningReport Opening { get; private set; }

    /// <summary>The stored marks of the replica, except the high watermark, which is the one last passed to
    /// <see cref="NoteHighWatermark"/>.</summary>
    public ReplicaMarks Marks
    {
        get
        {
            lock (_flushLock)
                return _marks with { HighWatermark = Volatile.Read(ref _highWatermark) };
        }
    }

    /// <summary>Stores the replica's marks durably.</summary>
    public void WriteMarks(in ReplicaMarks marks)
    {
        lock (_flushLock)
            WriteCheckpoint(DescribeForCheckpoint() with { Replica = marks with { HighWatermark = Volatile.Read(ref _highWatermark) } });
    }

    /// <summary>Stores the high watermark durably if it has moved.</summary>
    public void WriteHighWatermark()
    {
        lock (_flushLock)
        {
            if (_marks.HighWatermark != Volatile.Read(ref _highWatermark))
                WriteCheckpoint();
        }
    }

    /// <summary>Records a high watermark that was reached; the next checkpoint stores it, without a flush of its own.</summary>
    public void NoteHighWatermark(long offset) => Volatile.Write(ref _highWatermark, offset);

    /// <summary>
    /// Forgets the incarnation after a disk fault: acknowledged records may be lost, so this copy must not count as the member it was. Not
    /// flushed: the next process finds what the system holds, and after another boot the incarnation is given up anyway.
    /// </summary>
    /// <exception cref="IOException">The write failed too.</exception>
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
