namespace OrleansMq.Records;

/// <summary>
/// Iterates the records of one or many concatenated batches, decompressing into a pooled buffer that lives until the next batch.
/// Typical use: <c>using var reader = new RecordReader(bytes, codecs); while (reader.MoveNext()) use(reader.Current);</c>
/// Not thread safe.
/// </summary>
public sealed class RecordReader : IDisposable
{
    private readonly CompressionCodecs _codecs;
    private readonly bool _verifyCrc;
    private readonly PooledBuffer _plain = new();
    private ReadOnlyMemory<byte> _remaining; // batches not entered yet
    private ReadOnlyMemory<byte> _records; // of the current batch, plain
    private int _position; // in _records
    private int _left; // records of the current batch not read yet
    private int _previousDelta;
    private RecordBatchHeader _batch;
    private RecordLayout _layout;
    private Record _current;

    /// <summary>A reader over whole batches.</summary>
    /// <param name="batches">Batches, one after the other; the memory must stay as it is while records are read from it.</param>
    /// <param name="codecs">To look into compressed batches with.</param>
    /// <param name="verifyCrc">False where whoever read the bytes has checked their CRC already.</param>
    public RecordReader(ReadOnlyMemory<byte> batches, CompressionCodecs codecs, bool verifyCrc = true)
    {
        _remaining = batches;
        _codecs = codecs;
        _verifyCrc = verifyCrc;
    }

    /// <summary>The batch that <see cref="Current"/> belongs to.</summary>
    public RecordBatchHeader Batch => _batch;

    /// <summary>The record; valid until the next <see cref="MoveNext"/> that enters another batch.</summary>
    public Record Current => _current;

    /// <summary>Steps to the next record, over batches that have none left.</summary>
    /// <exception cref="RecordBatchException">The bytes are not valid batches.</exception>
    /// <exception cref="CodecUnavailableException">There is no codec, or no library of it, for the next batch.</exception>
    public bool MoveNext()
    {
        while (_left == 0)
        {
            if (_remaining.IsEmpty)
            {
                _current = default;
                return false;
            }
            EnterBatch();
        }
        ReadRecord();
        return true;
    }

    /// <summary>
    /// Steps over the current batch's other records to the next batch, whether or not that has records, and decompresses it where needed.
    /// </summary>
    /// <returns>False after the last batch.</returns>
    /// <exception cref="RecordBatchException">The bytes are not a valid batch.</exception>
    /// <exception cref="CodecUnavailableException">There is no codec, or no library of it, for the next batch.</exception>
    internal bool MoveNextBatch()
    {
        _left = 0;
        if (_remaining.IsEmpty)
            return false;
        EnterBatch();
        return true;
    }

    /// <summary>Whether the current batch has records that were not read yet.</summary>
    internal bool HasRecordsLeft => _left > 0;

    /// <summary>The current record's bytes, length included, as they stand in the batch (decompressed).</summary>
    internal ReadOnlySpan<byte> CurrentBytes => _records.Span[_layout.Start.._layout.End];

    /// <summary>Where the parts of the current record lie.</summary>
    internal RecordLayout CurrentLayout => _layout;

    /// <summary>Returns the memory to its pool.</summary>
    public void Dispose()
    {
        _remaining = default;
        _records = default;
        _current = default;
        _left = 0;
        _plain.Dispose();
    }

    private void EnterBatch()
    {
        var bytes = _remaining.Span;
        var fault = _verifyCrc
            ? RecordBatches.Validate(bytes, out _batch)
            : RecordBatches.ValidateFrame(bytes, out _batch) ?? RecordBatches.ValidateFields(_batch);
        if (fault is not null)
            throw Fault(fault.Error, fault.Message);
        var payload = _remaining[RecordBatchHeader.Size.._batch.SizeInBytes];
        _remaining = _remaining[_batch.SizeInBytes..];
        if (_batch.Compression == CompressionType.None || _batch.RecordCount == 0)
        {
            _records = payload;
        }
        else
        {
            _plain.Clear();
            _codecs.Get(_batch.Compression).Decompress(payload.Span, _plain, RecordBatches.MaxDecompressedSize);
            _records = _plain.WrittenMemory;
        }
        _position = 0;
        _previousDelta = -1;
        _left = _batch.RecordCount;
        if (_left == 0 && !_records.IsEmpty)
            throw Fault(RecordBatchError.BadRecordCount, $"{_records.Length} bytes follow the header of a batch without records.");
    }

    private void ReadRecord()
    {
        if (RecordLayout.TryRead(_records.Span, ref _position, out _layout) is { } fault)
            throw Fault(RecordBatchError.BadRecord, $"Record {_batch.RecordCount - _left}: {fault}.");
        if (_layout.OffsetDelta <= _previousDelta || _layout.OffsetDelta > _batch.LastOffsetDelta)
            throw Fault(RecordBatchError.BadOffsets, $"Record {_batch.RecordCount - _left} has offset delta {_layout.OffsetDelta}"
                + $" after {_previousDelta}, last offset delta {_batch.LastOffsetDelta}.");
        _previousDelta = _layout.OffsetDelta;
        _left--;
        if (_left == 0 && _position != _records.Length)
            throw Fault(RecordBatchError.BadRecordCount,
                $"{_records.Length - _position} bytes follow the last of {_batch.RecordCount} records.");
        _current = new Record
        {
            Offset = _batch.BaseOffset + _layout.OffsetDelta,
            Timestamp = _batch.IsLogAppendTime ? _batch.MaxTimestamp : unchecked(_batch.BaseTimestamp + _layout.TimestampDelta),
            Key = Slice(_layout.KeyStart, _layout.KeyLength),
            Value = Slice(_layout.ValueStart, _layout.ValueLength),
            HeaderCount = _layout.HeaderCount,
            HeaderBytes = _records[_layout.HeadersStart.._layout.End],
        };
    }

    // The cast matters: a bare null would become an empty memory, by way of a null array.
    private ReadOnlyMemory<byte>? Slice(int start, int length) =>
        length < 0 ? (ReadOnlyMemory<byte>?)null : _records.Slice(start, length);

    // A batch that failed is not entered again: the reader is at its end from then on.
    private RecordBatchException Fault(RecordBatchError error, string message)
    {
        _remaining = default;
        _left = 0;
        return new RecordBatchException(error, $"Batch at offset {_batch.BaseOffset}: {message}");
    }
}
