using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using OrleansMq.Records;

namespace OrleansMq.Dedupe;

/// <summary>Reads the message ids of a batch's records; see <see cref="MessageHeaders.MessageId"/>. An id is known by 128 bits of its
/// SHA-256, so that what is remembered of it has one size.</summary>
/// <remarks>A dead letter that is sent back is a message of its own, though its header is that of the first publish. So its id includes the
/// letter's place and the redrive's group: the record is no duplicate of another one, and a redrive that is repeated is one of
/// itself.
/// <para>What a batch claims about itself takes no memory. One with ids has a bounded number of records, so the ids that are read do not
/// depend on how far it decompresses.</para></remarks>
internal static class MessageIds
{
    /// <summary>The most ids of a batch, and of the topic's <c>dedupe.max.ids</c> if that is less.</summary>
    public const int MostOfBatch = 10_000;

    /// <summary>The most records of a batch with ids.</summary>
    public const int MostRecords = 20_000;

    /// <summary>Stands for a record without an id.</summary>
    public static readonly UInt128 None;

    /// <summary>The header of a redriven record: its letter's place, and the redrive's group.</summary>
    public const string RedrivenFromHeader = "omq.dead-letter.redriven-from";

    private static readonly byte[] Name = Encoding.UTF8.GetBytes(MessageHeaders.MessageId);
    private static readonly byte[] RedrivenFrom = Encoding.UTF8.GetBytes(RedrivenFromHeader);

    /// <summary>Reads the id of each record.</summary>
    /// <param name="batch">Exactly one valid batch, without gaps between its records.</param>
    /// <param name="maxIds">The topic's <c>dedupe.max.ids</c>.</param>
    /// <param name="codecs">The codecs of compressed batches.</param>
    /// <param name="allowance">Counts what is decompressed, unless null.</param>
    /// <returns>An id for each record, or <see cref="None"/>; null if no record has one. The number of ids, and the bytes of the
    /// records.</returns>
    /// <exception cref="RecordBatchException">An id is empty or too long, there are too many, or the records cannot be read.</exception>
    /// <exception cref="CodecUnavailableException">The batch's codec is not available.</exception>
    public static (UInt128[]? Ids, int Count, int RecordBytes) Read(ReadOnlyMemory<byte> batch, int maxIds, CompressionCodecs codecs,
        DecompressionAllowance? allowance)
    {
        // A batch of a used up allowance is not decompressed at all.
        allowance?.Check();
        var most = Math.Min(maxIds, MostOfBatch);
        List<UInt128>? ids = null;
        var count = 0;
        using var reader = new RecordReader(batch, codecs, verifyCrc: false, takesTurns: true);
        for (var index = 0; reader.MoveNext(); index++)
        {
            if (index == 0)
                allowance?.Take(reader.DecompressedBytes);
            var id = reader.Current.HeaderCount > 0 ? Find(reader.Current, index) : null;
            if (id is not null)
                ids ??= [.. Enumerable.Repeat(None, Math.Min(index, MostRecords))];
            if (ids is null)
                continue;
            if (index >= MostRecords)
                throw new RecordBatchException(RecordBatchError.TooLong,
                    $"A batch with message ids has at most {MostRecords} records. Send smaller batches.");
            if (id is not null && count++ == most)
                throw new RecordBatchException(RecordBatchError.TooLong, $"The batch has more than {most} message ids: allowed are "
                    + $"{MostOfBatch}, and no more than the topic's dedupe.max.ids = {maxIds}. Send smaller batches.");
            ids.Add(id ?? None);
        }
        return (ids?.ToArray(), count, Math.Max(reader.DecompressedBytes, batch.Length));
    }

    /// <summary>Returns what is remembered of an id.</summary>
    /// <param name="id">The id.</param>
    /// <param name="redrivenFrom">The letter of a redriven record, as in its header; empty for other records.</param>
    public static UInt128 Of(ReadOnlySpan<byte> id, ReadOnlySpan<byte> redrivenFrom = default)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(id, hash);
        if (!redrivenFrom.IsEmpty)
        {
            using var both = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            both.AppendData(hash);
            both.AppendData(redrivenFrom);
            both.GetHashAndReset(hash);
        }
        return BinaryPrimitives.ReadUInt128BigEndian(hash);
    }

    // Of several headers with the name the last one counts.
    private static UInt128? Find(in Record record, int index)
    {
        var bytes = record.HeaderBytes.Span;
        ReadOnlySpan<byte> id = default, redrivenFrom = default;
        var position = 0;
        for (var left = record.HeaderCount; left > 0; left--)
        {
            // The reader has checked the lengths.
            _ = RecordLayout.TryReadBytes(bytes, ref position, nullable: false, out var nameStart, out var nameLength);
            _ = RecordLayout.TryReadBytes(bytes, ref position, nullable: true, out var start, out var length);
            var name = bytes.Slice(nameStart, nameLength);
            if (name.SequenceEqual(RedrivenFrom) && length > 0)
                redrivenFrom = bytes.Slice(start, length);
            if (!name.SequenceEqual(Name))
                continue;
            if (length is < 1 or > MessageHeaders.MostIdBytes)
                throw new RecordBatchException(RecordBatchError.BadRecord, $"Record {index}: the header '{MessageHeaders.MessageId}' has "
                    + $"{Math.Max(length, 0)} bytes; allowed are 1 to {MessageHeaders.MostIdBytes}. Send a shorter id, or leave "
                    + "the header out.");
            id = bytes.Slice(start, length);
        }
        return id.IsEmpty ? null : Of(id, redrivenFrom);
    }
}
