namespace OrleansMq.Records;

/// <summary>
/// Iterates over the records of one or more concatenated batches. Decompresses into a pooled buffer that is valid until the next batch.
/// Typical use: <c>using var reader = new RecordReader(bytes, codecs); while (reader.MoveNext()) use(reader.Current);</c> Not thread-safe.
/// </summary>
public sealed class RecordReader : IDisposable
{
    private readonly CompressionCodecs _codecs;
    private readonly bool _verifyCrc;
    private readonly bool _takesTurns;
    private readonly PooledBuffer _plain = new();
    private ReadOnlyMemory<byte> _remaining; // unread batches
    private ReadOnlyMemory<byte> _records; // of the current batch, decompressed
    private int _position; // in _records
    private int _left; // unread records of the current batch
    private int _previousDelta;
    private RecordBatchHeader _batch;
    private RecordLayout _layout;
    private Record _current;

    /// <summary>Creates a reader over whole batches.</summary>
    /// <param name="batches">Batches, back to back. The memory must not change while records are read from it.</param>
    /// <param name="codecs">The codecs for compressed batches.</param>
    /// <param name="verifyCrc">False if the caller has checked the CRC already.</param>
    /// <param name="takesTurns">Whether batches that take more than 16 MiB to decompress are decompressed one at a time in this process:
    /// in a broker, which reads what others have sent. While another has the turn, such a batch is
    /// <see cref="RecordBatchError.Busy"/>.</param>
    public RecordReader(ReadOnlyMemory<byte> batches, CompressionCodecs codecs, bool verifyCrc = true, bool takesTurns = false)
    {
        _remaining = batches;
        _codecs = codecs;
        _verifyCrc = verifyCrc;
        _takesTurns = takesTurns;
    }

    /// <summary>The number of bytes that the current batch was decompressed to, which the reader holds; 0 for an uncompressed
    /// one.</summary>
    public int DecompressedBytes => _plain.Length;

    /// <summary>The batch that <see cref="Current"/> belongs to.</summary>
    public RecordBatchHeader Batch => _batch;

    /// <summary>The current record, valid until <see cref="MoveNext"/> enters another batch.</summary>
    public Record Current => _current;

    /// <summary>Moves to the next record, skipping batches without unread records.</summary>
    /// <exception cref="RecordBatchException">The bytes are not valid batches.</exception>
    /// <exception cref="CodecUnavailableException">The codec of the next batch, or its library, is not available.</exception>
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

    /// <summary>Moves to the next record, past those of its batch below an offset: of these only the lengths are read. The last one of a
    /// batch is not passed.</summary>
    /// <exception cref="RecordBatchException">The bytes are not valid batches.</exception>
    /// <exception cref="CodecUnavailableException">The codec of the next batch, or its library, is not available.</exception>
    internal bool MoveTo(long from)
    {
        while (_left == 0 && !_remaining.IsEmpty)
            EnterBatch();
        var records = _records.Span;
        while (_left > 1 && RecordLayout.TryReadEnd(records, _position, out var end, out var offsetDelta)
            && offsetDelta > _previousDelta && _batch.BaseOffset + offsetDelta < from)
        {
            _position = end;
            _previousDelta = offsetDelta;
            _left--;
        }
        return MoveNext();
    }

    /// <summary>
    /// Skips the rest of the current batch and moves to the next one, even if that has no records. Decompresses it if needed.
    /// </summary>
    /// <returns>False after the last batch.</returns>
    /// <exception cref="RecordBatchException">The bytes are not a valid batch.</exception>
    /// <exception cref="CodecUnavailableException">The codec of the next batch, or its library, is not available.</exception>
    internal bool MoveNextBatch()
    {
        _left = 0;
        if (_remaining.IsEmpty)
            return false;
        EnterBatch();
        return true;
    }

    /// <summary>Whether the current batch has unread records.</summary>
    internal bool HasRecordsLeft => _left > 0;

    /// <summary>The current record's bytes, including its length, as in the (decompressed) batch.</summary>
    internal ReadOnlySpan<byte> CurrentBytes => _records.Span[_layout.Start.._layout.End];

    /// <summary>The positions of the current record's parts.</summary>
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
            throw Fault(fault.Error, fault.Message, isHeaderValid: false);
        var payload = _remaining[RecordBatchHeader.Size.._batch.SizeInBytes];
        _remaining = _remaining[_batch.SizeInBytes..];
        // A large buffer is not kept for the smaller batches that follow.
        if (_plain.Length > LargeBatches.MinBytes)
            _plain.Dispose();
        _plain.Clear();
        if (_batch.Compression == CompressionType.None || _batch.RecordCount == 0)
        {
            _records = payload;
        }
        else
        {
            Decompress(payload.Span);
            _records = _plain.WrittenMemory;
        }
        _position = 0;
        _previousDelta = -1;
        _left = _batch.RecordCount;
        if (_left == 0 && !_records.IsEmpty)
            throw Fault(RecordBatchError.BadRecordCount, $"{_records.Length} bytes follow the header of a batch without records.");
    }

    private void Decompress(ReadOnlySpan<byte> payload)
    {
        try
        {
            var codec = _codecs.Get(_batch.Compression);
            if (_takesTurns)
                DecompressInTurn(codec, payload);
            else
                codec.Decompress(payload, _plain, RecordBatches.MaxDecompressedSize);
        }
        catch (RecordBatchException fault)
        {
            throw Fault(fault.Error, fault.Message);
        }
    }

    private void DecompressInTurn(ICompressionCodec codec, ReadOnlySpan<byte> payload)
    {
        if (LargeBatches.TryDecompressSmall(codec, payload, _plain))
            return;
        _plain.Dispose();
        LargeBatches.Reads.Enter(_batch.Crc);
        try
        {
            codec.Decompress(payload, _plain, RecordBatches.MaxDecompressedSize);
        }
        finally
        {
            LargeBatches.Reads.Exit();
        }
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

    // The cast is required: a bare null would become empty memory, through the conversion from a null array.
    private ReadOnlyMemory<byte>? Slice(int start, int length) =>
        length < 0 ? (ReadOnlyMemory<byte>?)null : _records.Slice(start, length);

    // After a fault the reader is at its end: the batch is not read again.
    private RecordBatchException Fault(RecordBatchError error, string message, bool isHeaderValid = true)
    {
        _remaining = default;
        _left = 0;
        return new RecordBatchException(error, $"Batch at offset {_batch.BaseOffset}: {message}")
        {
            NextOffset = isHeaderValid ? _batch.NextOffset : -1,
        };
    }
}
