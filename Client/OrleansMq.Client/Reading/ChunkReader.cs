using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Client;

/// <summary>Iterates over the records of one fetched chunk, from its session's position on.</summary>
internal sealed class ChunkReader(FetchSession session, FetchResult result, ReaderOptions options) : IDisposable
{
    private readonly RecordReader _reader = new(result.Records, options.Codecs, options.CheckCrc);
    private Record _record;
    private bool _isPending;
    private bool _disposed;

    public FetchSession Session { get; } = session;

    public bool IsStopped => Session.IsStopped;

    /// <summary>The current record.</summary>
    public ref readonly Record Record => ref _record;

    public int LeaderEpoch => _reader.Batch.PartitionLeaderEpoch;

    /// <summary>Moves to the next record; stays on one that was not accepted.</summary>
    /// <exception cref="RecordBatchException">A batch is damaged.</exception>
    public bool MoveNext()
    {
        if (_isPending)
            return true;
        while (_reader.MoveNext())
        {
            // A chunk begins with the batch that contains the position. Transaction markers are not for applications.
            if (_reader.Current.Offset < Session.Position || _reader.Batch.IsControl)
                continue;
            _record = _reader.Current;
            _isPending = true;
            return true;
        }
        // Past markers at its end, too: what is behind them is read next.
        Session.Position = Math.Max(Session.Position, FetchSession.OffsetAfter(result.Records.Span, 0));
        return false;
    }

    /// <summary>Moves the position past the record, which was handed to the application.</summary>
    public void Accept()
    {
        _isPending = false;
        Session.Position = _record.Offset + 1;
    }

    /// <summary>Deserializes the current record, without accepting it.</summary>
    /// <exception cref="DeserializationException">The record stays the current one. The next read fails again, until the partition is
    /// sought.</exception>
    public ConsumeResult<TKey, TValue> Deserialize<TKey, TValue>(IDeserializer<TKey> keys, IDeserializer<TValue> values)
    {
        var part = "key";
        try
        {
            var key = keys.Deserialize(_record.Key.GetValueOrDefault().Span, _record.Key is null);
            part = "value";
            var value = values.Deserialize(_record.Value.GetValueOrDefault().Span, _record.Value is null);
            return new ConsumeResult<TKey, TValue>(Session.Partition, _record.Offset, _record.Timestamp, key, value, CopyHeaders(),
                LeaderEpoch) { TopicId = Session.TopicId, IsTombstone = _record.Value is null };
        }
        catch (Exception e)
        {
            throw new DeserializationException(Session.Partition, _record.Offset, part, e);
        }
    }

    /// <summary>Copies the record's headers out of the pooled memory.</summary>
    public RecordHeader[] CopyHeaders()
    {
        if (_record.HeaderCount == 0)
            return [];
        var headers = _record.ReadHeaders();
        for (var i = 0; i < headers.Length; i++)
            headers[i] = new RecordHeader(headers[i].Key.ToArray(), headers[i].Value is { } value
                ? value.ToArray() : (ReadOnlyMemory<byte>?)null);
        return headers;
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
