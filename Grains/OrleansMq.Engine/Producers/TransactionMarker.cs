using System.Buffers.Binary;
using OrleansMq.Records;

namespace OrleansMq.Producers;

/// <summary>
/// The end of a transaction in a partition: a control batch of its producer with one record, as in Kafka.
/// <code>
/// key    0 version i16 = 0 | 2 type i16 (0 abort, 1 commit)
/// value  0 version i16 = 0 | 2 coordinator epoch i32
/// header "omq.transaction": the transaction's number i64; absent in a marker of another broker
/// </code>
/// </summary>
/// <param name="IsCommit">Whether the transaction is committed; otherwise it is aborted.</param>
/// <param name="CoordinatorEpoch">The epoch of the coordinator that ended it.</param>
/// <param name="Number">The transaction's number, which rises with each transaction of its producer id; 0 if it has none. A marker with a
/// number ends that transaction alone, so one that comes late or twice ends no other.</param>
internal readonly record struct TransactionMarker(bool IsCommit, int CoordinatorEpoch, long Number = 0)
{
    private const short AbortType = 0;
    private const short CommitType = 1;
    private const int KeyBytes = 4;
    private const int ValueBytes = 6;

    private static ReadOnlySpan<byte> NumberHeader => "omq.transaction"u8;

    /// <summary>Reads the marker of a control batch with a producer.</summary>
    /// <param name="header">The batch's header.</param>
    /// <param name="batch">The batch; its CRC is known to be right.</param>
    /// <returns>Null if it has none: compaction has emptied it, or its type is of a later version.</returns>
    public static TransactionMarker? Find(in RecordBatchHeader header, ReadOnlySpan<byte> batch)
    {
        if (!header.IsControl || !header.HasProducer || header.Compression != CompressionType.None || header.RecordCount < 1)
            return null;
        var records = batch[RecordBatchHeader.Size..header.SizeInBytes];
        var position = 0;
        if (RecordLayout.TryRead(records, ref position, out var record) is not null || record.KeyLength < KeyBytes
            || record.ValueLength < ValueBytes)
            return null;
        var type = BinaryPrimitives.ReadInt16BigEndian(records[(record.KeyStart + 2)..]);
        if (type is not (AbortType or CommitType))
            return null;
        var epoch = BinaryPrimitives.ReadInt32BigEndian(records[(record.ValueStart + 2)..]);
        return new TransactionMarker(type == CommitType, epoch, ReadNumber(records[record.HeadersStart..record.End], record.HeaderCount));
    }

    /// <summary>Makes the control batch.</summary>
    /// <param name="producerId">The producer.</param>
    /// <param name="producerEpoch">The epoch that the marker carries: later batches of older ones are fenced.</param>
    /// <param name="timestamp">Milliseconds since 1970.</param>
    public byte[] ToBatch(long producerId, short producerEpoch, long timestamp)
    {
        Span<byte> key = stackalloc byte[KeyBytes];
        BinaryPrimitives.WriteInt16BigEndian(key, 0);
        BinaryPrimitives.WriteInt16BigEndian(key[2..], IsCommit ? CommitType : AbortType);
        Span<byte> value = stackalloc byte[ValueBytes];
        BinaryPrimitives.WriteInt16BigEndian(value, 0);
        BinaryPrimitives.WriteInt32BigEndian(value[2..], CoordinatorEpoch);
        using var builder = new RecordBatchBuilder(initialCapacity: 256);
        builder.Add(timestamp, key, hasKey: true, value, hasValue: true, Headers());
        builder.SetProducer(producerId, producerEpoch, baseSequence: -1, transactional: true);
        builder.SetControl();
        return builder.Build().ToArray();
    }

    private RecordHeader[] Headers()
    {
        if (Number == 0)
            return [];
        var number = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64BigEndian(number, Number);
        return [new RecordHeader(NumberHeader.ToArray(), number)];
    }

    private static long ReadNumber(ReadOnlySpan<byte> headers, int count)
    {
        var at = 0;
        for (; count > 0; count--)
        {
            if (!TryReadBytes(headers, ref at, out var name) || !TryReadBytes(headers, ref at, out var value))
                return 0;
            if (name.SequenceEqual(NumberHeader) && value.Length == sizeof(long))
                return BinaryPrimitives.ReadInt64BigEndian(value);
        }
        return 0;
    }

    private static bool TryReadBytes(ReadOnlySpan<byte> bytes, ref int at, out ReadOnlySpan<byte> field)
    {
        field = default;
        if (!VarInt.TryRead(bytes, ref at, out int length) || length > bytes.Length - at)
            return false;
        if (length < 0)
            return true;
        field = bytes.Slice(at, length);
        at += length;
        return true;
    }
}
