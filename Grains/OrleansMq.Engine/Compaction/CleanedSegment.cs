using OrleansMq.Log;
using OrleansMq.Records;

namespace OrleansMq.Compaction;

/// <summary>
/// The segment that a cleaning writes, with file names that end in <c>.cleaned</c>. If it is disposed before <see cref="Finish"/>, its
/// files are deleted.
/// </summary>
internal sealed class CleanedSegment : IDisposable
{
    // Large writes, since no request waits for them.
    private const int WriteBytes = 1 << 20;

    private readonly int _indexIntervalBytes;
    private readonly PooledBuffer _pending = new(WriteBytes);
    private readonly List<RecordBatchHeader> _headers = [];
    private bool _finished;

    public CleanedSegment(FileHandleCache cache, string directory, long baseOffset, int indexIntervalBytes, long now)
    {
        _indexIntervalBytes = indexIntervalBytes;
        Segment = new Segment(cache, directory, baseOffset, LogFiles.Cleaned);
        Segment.Create(now);
    }

    /// <summary>The segment, which is not part of any log yet.</summary>
    public Segment Segment { get; }

    /// <summary>The buffer to append the next batch to; call <see cref="Added"/> afterwards.</summary>
    public PooledBuffer Buffer => _pending;

    /// <summary>Notes that a batch was appended to <see cref="Buffer"/>.</summary>
    public void Added(int start)
    {
        _headers.Add(RecordBatchHeader.Read(_pending.WrittenSpan[start..]));
        if (_pending.Length >= WriteBytes)
            WritePending();
    }

    /// <summary>Writes the remaining bytes, and makes log and indexes durable.</summary>
    public Segment Finish()
    {
        WritePending();
        Segment.CompleteIndexes();
        Segment.FlushLog();
        Segment.FlushIndexes();
        Segment.Index.ReleaseBuffer();
        Segment.TimeIndex.ReleaseBuffer();
        _finished = true;
        return Segment;
    }

    /// <summary>Deletes the files of an unfinished segment.</summary>
    public void Dispose()
    {
        _pending.Dispose();
        if (!_finished)
            Segment.DeleteFiles();
    }

    private void WritePending()
    {
        if (_headers.Count == 0)
            return;
        using (var lease = Segment.Log.Rent())
            lease.File.Write(_pending.WrittenSpan, Segment.Size);
        foreach (var header in _headers)
            Segment.Appended(header, Segment.Size, _indexIntervalBytes);
        _headers.Clear();
        _pending.Clear();
    }
}
