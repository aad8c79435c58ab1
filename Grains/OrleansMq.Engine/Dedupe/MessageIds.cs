using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using OrleansMq.Records;

namespace OrleansMq.Dedupe;

/// <summary>Reads the message ids of a batch's records; see <see cref="MessageHeaders.MessageId"/>. An id is known by 128 bits of its
/// SHA-256, so that what is remembered of it has one size.</summary>
internal static class MessageIds
{
    /// <summary>The longest id, in bytes.</summary>
    public const int MostBytes = 256;

    /// <summary>Stands for a record without an id.</summary>
    public static readonly UInt128 None;

    private static readonly byte[] Name = Encoding.UTF8.GetBytes(MessageHeaders.MessageId);

    /// <summary>Reads the id of each record.</summary>
    /// <param name="batch">Exactly one valid batch, without gaps between its records.</param>
    /// <param name="codecs">The codecs of compressed batches.</param>
    /// <param name="allowance">Counts what is decompressed, unless null.</param>
    /// <returns>An id for each record, or <see cref="None"/>; null if no record has one.</returns>
    /// <exception cref="RecordBatchException">An id is empty or too long, or the records cannot be read.</exception>
    /// <exception cref="CodecUnavailableException">The batch's codec is not available.</exception>
    public static UInt128[]? Read(ReadOnlyMemory<byte> batch, CompressionCodecs codecs, DecompressionAllowance? allowance)
    {
        // A batch of a used up allowance is not decompressed at all.
        allowance?.Check();
        UInt128[]? ids = null;
        using var reader = new RecordReader(batch, codecs, verifyCrc: false, takesTurns: true);
        for (var index = 0; reader.MoveNext(); index++)
        {
            if (index == 0)
                allowance?.Take(reader.DecompressedBytes);
            if (reader.Current.HeaderCount > 0 && Find(reader.Current, index) is { } id)
                (ids ??= new UInt128[reader.Batch.RecordCount])[index] = id;
        }
        return ids;
    }

    /// <summary>Returns what is remembered of an id.</summary>
    public static UInt128 Of(ReadOnlySpan<byte> id)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(id, hash);
        return BinaryPrimitives.ReadUInt128BigEndian(hash);
    }

    // Of several headers with the name the last one counts.
    private static UInt128? Find(in Record record, int index)
    {
        var bytes = record.HeaderBytes.Span;
        UInt128? id = null;
        var position = 0;
        for (var left = record.HeaderCount; left > 0; left--)
        {
            // The reader has checked the lengths.
            _ = RecordLayout.TryReadBytes(bytes, ref position, nullable: false, out var nameStart, out var nameLength);
            _ = RecordLayout.TryReadBytes(bytes, ref position, nullable: true, out var start, out var length);
            if (!bytes.Slice(nameStart, nameLength).SequenceEqual(Name))
                continue;
            if (length is < 1 or > MostBytes)
                throw new RecordBatchException(RecordBatchError.BadRecord, $"Record {index}: the header '{MessageHeaders.MessageId}' has "
                    + $"{Math.Max(length, 0)} bytes; allowed are 1 to {MostBytes}. Send a shorter id, or leave the header out.");
            id = Of(bytes.Slice(start, length));
        }
        return id;
    }
}
