using System.Buffers.Binary;

namespace OrleansMq.Records;

/// <summary>What is wrong with the bytes of a record batch.</summary>
public enum RecordBatchError
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>Fewer bytes than a header, or than the header's length field says.</summary>
    Truncated = 1,
    /// <summary>An impossible length field.</summary>
    BadLength = 2,
    /// <summary>A magic byte other than 2.</summary>
    BadMagic = 3,
    /// <summary>The CRC does not match.</summary>
    BadCrc = 4,
    /// <summary>A record count that is negative, zero where not allowed, or different from the number of records.</summary>
    BadRecordCount = 5,
    /// <summary>Offset deltas that do not run from 0 to the last offset delta.</summary>
    BadOffsets = 6,
    /// <summary>An undefined codec number.</summary>
    BadCodec = 7,
    /// <summary>Bytes that the batch's codec cannot decompress.</summary>
    BadCompression = 8,
    /// <summary>A record whose lengths do not fit its bytes.</summary>
    BadRecord = 9,
    /// <summary>An inconsistent combination of producer id, epoch and sequence.</summary>
    BadProducer = 10,
    /// <summary>An attribute that only a broker may set: control, LogAppendTime or delete horizon.</summary>
    BadAttributes = 11,
    /// <summary>No fault of the batch: it takes much memory to decompress, and another such batch has the turn. Retry.</summary>
    Busy = 12,
    /// <summary>Bytes that decompress to more than the limit, as far as they were looked at, or that demand a larger window of earlier
    /// bytes than is allowed.</summary>
    TooLong = 13,
    /// <summary>The batches of a request decompress to more than it may take in all.</summary>
    TooMuch = 14,
}

/// <summary>The bytes are not a valid record batch.</summary>
public sealed class RecordBatchException(RecordBatchError error, string message) : Exception(message)
{
    /// <summary>The offset after the batch, at which a reader goes on without it; -1 where the batch's header cannot be trusted.</summary>
    public long NextOffset { get; init; } = -1;

    /// <summary>What is wrong.</summary>
    public RecordBatchError Error { get; } = error;
}

/// <summary>
/// The header of a record batch, format v2, read from (and stamped into) its bytes. All numbers are big-endian:
/// <code>
///  0 baseOffset i64 | 8 length i32 (bytes after this field) | 12 partitionLeaderEpoch i32 | 16 magic i8 = 2 | 17 crc u32
/// 21 attributes i16 | 23 lastOffsetDelta i32 | 27 baseTimestamp i64 | 35 maxTimestamp i64
/// 43 producerId i64 | 51 producerEpoch i16 | 53 baseSequence i32 | 57 recordCount i32 | 61 records
/// attributes: bits 0-2 codec, 3 LogAppendTime, 4 transactional, 5 control, 6 delete horizon
/// </code>
/// The CRC-32C covers byte 21 to the end, so base offset and leader epoch are stamped without computing it again.
/// </summary>
public readonly record struct RecordBatchHeader(long BaseOffset, int Length, int PartitionLeaderEpoch, sbyte Magic, uint Crc,
    short Attributes, int LastOffsetDelta, long BaseTimestamp, long MaxTimestamp, long ProducerId, short ProducerEpoch,
    int BaseSequence, int RecordCount)
{
    /// <summary>The size of a header in bytes.</summary>
    public const int Size = 61;
    /// <summary>The bytes up to and including the length field, which <see cref="Length"/> does not count.</summary>
    public const int Overhead = 12;
    /// <summary>The position of the first byte that the CRC covers.</summary>
    public const int CrcStart = 21;
    /// <summary>The producer id of a batch that is neither idempotent nor transactional.</summary>
    public const long NoProducerId = -1;

    /// <summary>The size of the whole batch in bytes, including the header.</summary>
    public int SizeInBytes => Length + Overhead;
    /// <summary>The offset of its last record.</summary>
    public long LastOffset => BaseOffset + LastOffsetDelta;
    /// <summary>The offset after its last record.</summary>
    public long NextOffset => BaseOffset + LastOffsetDelta + 1;
    /// <summary>The codec, which may be an undefined number: see <see cref="RecordBatchError.BadCodec"/>.</summary>
    public CompressionType Compression => (CompressionType)(Attributes & 0x07);
    /// <summary>Whether the timestamps were set by the broker.</summary>
    public bool IsLogAppendTime => (Attributes & 0x08) != 0;
    /// <summary>Whether the batch belongs to a transaction.</summary>
    public bool IsTransactional => (Attributes & 0x10) != 0;
    /// <summary>Whether the batch contains control records instead of data.</summary>
    public bool IsControl => (Attributes & 0x20) != 0;
    /// <summary>Whether <see cref="BaseTimestamp"/> is the time after which compaction may drop the batch's tombstones.</summary>
    public bool HasDeleteHorizon => (Attributes & 0x40) != 0;
    /// <summary>Whether the batch carries a producer id.</summary>
    public bool HasProducer => ProducerId != NoProducerId;
    /// <summary>The sequence number of its last record; sequences wrap from 2,147,483,647 to 0.</summary>
    public int LastSequence => BaseSequence < 0 ? BaseSequence : (int)(((long)BaseSequence + LastOffsetDelta) & int.MaxValue);

    /// <summary>Reads the fields. Checks only that there are at least <see cref="Size"/> bytes.</summary>
    /// <exception cref="RecordBatchException"><see cref="RecordBatchError.Truncated"/>.</exception>
    public static RecordBatchHeader Read(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < Size)
            throw new RecordBatchException(RecordBatchError.Truncated, $"A record batch header is {Size} bytes; there are {bytes.Length}.");
        return new RecordBatchHeader(
            BinaryPrimitives.ReadInt64BigEndian(bytes),
            BinaryPrimitives.ReadInt32BigEndian(bytes[8..]),
            BinaryPrimitives.ReadInt32BigEndian(bytes[12..]),
            (sbyte)bytes[16],
            BinaryPrimitives.ReadUInt32BigEndian(bytes[17..]),
            BinaryPrimitives.ReadInt16BigEndian(bytes[21..]),
            BinaryPrimitives.ReadInt32BigEndian(bytes[23..]),
            BinaryPrimitives.ReadInt64BigEndian(bytes[27..]),
            BinaryPrimitives.ReadInt64BigEndian(bytes[35..]),
            BinaryPrimitives.ReadInt64BigEndian(bytes[43..]),
            BinaryPrimitives.ReadInt16BigEndian(bytes[51..]),
            BinaryPrimitives.ReadInt32BigEndian(bytes[53..]),
            BinaryPrimitives.ReadInt32BigEndian(bytes[57..]));
    }

    /// <summary>Writes the fields unchanged into the first <see cref="Size"/> bytes.</summary>
    public void WriteTo(Span<byte> batch)
    {
        BinaryPrimitives.WriteInt64BigEndian(batch, BaseOffset);
        BinaryPrimitives.WriteInt32BigEndian(batch[8..], Length);
        BinaryPrimitives.WriteInt32BigEndian(batch[12..], PartitionLeaderEpoch);
        batch[16] = (byte)Magic;
        BinaryPrimitives.WriteUInt32BigEndian(batch[17..], Crc);
        BinaryPrimitives.WriteInt16BigEndian(batch[21..], Attributes);
        BinaryPrimitives.WriteInt32BigEndian(batch[23..], LastOffsetDelta);
        BinaryPrimitives.WriteInt64BigEndian(batch[27..], BaseTimestamp);
        BinaryPrimitives.WriteInt64BigEndian(batch[35..], MaxTimestamp);
        BinaryPrimitives.WriteInt64BigEndian(batch[43..], ProducerId);
        BinaryPrimitives.WriteInt16BigEndian(batch[51..], ProducerEpoch);
        BinaryPrimitives.WriteInt32BigEndian(batch[53..], BaseSequence);
        BinaryPrimitives.WriteInt32BigEndian(batch[57..], RecordCount);
    }

    /// <summary>Stamps the base offset, which the CRC does not cover.</summary>
    public static void StampBaseOffset(Span<byte> batch, long baseOffset) => BinaryPrimitives.WriteInt64BigEndian(batch, baseOffset);

    /// <summary>Stamps the leader epoch, which the CRC does not cover.</summary>
    public static void StampLeaderEpoch(Span<byte> batch, int leaderEpoch) =>
        BinaryPrimitives.WriteInt32BigEndian(batch[12..], leaderEpoch);
}
