using OrleansMq.Brokers;
using OrleansMq.Records;

namespace OrleansMq.Client;

/// <summary>Steps through the records of one fetched chunk, from its session's position on.</summary>
internal sealed class ChunkReader(FetchSession session, FetchResult result, ReaderOptions options) : IDisposable
{
    private readonly RecordReader _reader = new(result.Records, options.Codecs, options.CheckCrc);
    private Record _record;
    private bool _isPending;
    private bool _disposed;

    public FetchSession Session { get; } = session;

    public bool IsStopped => Session.IsStopped;

    /// <summary>The record that <see cref="MoveNext"/> stepped to.</summary>
    public ref readonly Record Record => ref _record;

    public int LeaderEpoch => _reader.Batch.PartitionLeaderEpoch;

    /// <summary>Steps to the next record; stays on one that was not accepted.</summary>
    /// <exception cref="RecordBatchException">A batch is damaged.</exception>
    public bool MoveNext()
    {
        if (_isPending)
            return true;
        while (_reader.MoveNext())
        {
            // A chunk begins with the batch that holds the position, and markers of transactions are not for applications.
            if (_reader.Current.Offset < Session.Position || _reader.Batch.IsControl)
                continue;
            _record = _reader.Current;
            _isPending = true;
            return true;
        }
        return false;
    }

    /// <summary>The record was handed to the application: the position is behind it.</summary>
    public void Accept()
    {
        _isPending = false;
        Session.Position = _record.Offset + 1;
    }

    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        _reader.Dispose();
        result.Dispose();
        Session.ReturnSlot();
    }
}
