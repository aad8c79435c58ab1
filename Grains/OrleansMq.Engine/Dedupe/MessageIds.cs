using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using OrleansMq.Records;

namespace OrleansMq.Dedupe;

/// <summary>Reads the message ids of a batch's records; see <see cref="MessageHeaders.MessageId"/>. An id is known by 128 bits of its
/// SHA-256, so that what is remembered of it has one size.</summary>
/// <remarks>A dead letter that is sent back is a message of its own, though its header is that of the first publish. So the number of
/// redrives is part of its id: the record is no duplicate of the first one, and a redrive that is repeated is one of itself.</remarks>
internal static class MessageIds
{
    /// <summary>Stands for a record without an id.</summary>
    public static readonly UInt128 None;

    // A redriven record has it, with how often it was redriven.
    internal const string RedrivesHeader = "omq.dead-letter.redrives";

    private static readonly byte[] Name = Encoding.UTF8.GetBytes(MessageHeaders.MessageId);
    private static readonly byte[] Redrives = Encoding.UTF8.GetBytes(RedrivesHeader);

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
    /// <param name="id">The id.</param>
    /// <param name="redrives">How often the record was redriven, as in its header; empty for not at all.</param>
    public static UInt128 Of(ReadOnlySpan<byte> id, ReadOnlySpan<byte> redrives = default)
    {
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(id, hash);
        if (!redrives.IsEmpty)
        {
            using var both = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            both.AppendData(hash);
            both.AppendData(redrives);
            both.GetHashAndReset(hash);
        }
        return BinaryPrimitives.ReadUInt128BigEndian(hash);
    }

    // Of several headers with the name the last one counts.
    private static UInt128? Find(in Record record, int index)
    {
        var bytes = record.HeaderBytes.Span;
        ReadOnlySpan<byte> id = default, redrives = default;
        var position = 0;
        for (var left = record.HeaderCount; left > 0; left--)
        {
            // The reader has checked the lengths.
            _ = RecordLayout.TryReadBytes(bytes, ref position, nullable: false, out var nameStart, out var nameLength);
            _ = RecordLayout.TryReadBytes(bytes, ref position, nullable: true, out var start, out var length);
            var name = bytes.Slice(nameStart, nameLength);
            if (name.SequenceEqual(Redrives) && length > 0)
                redrives = bytes.Slice(start, length);
            if (!name.SequenceEqual(Name))
                continue;
            if (length is < 1 or > MessageHeaders.MostIdBytes)
                throw new RecordBatchException(RecordBatchError.BadRecord, $"Record {index}: the header '{MessageHeaders.MessageId}' has "
                    + $"{Math.Max(length, 0)} bytes; allowed are 1 to {MessageHeaders.MostIdBytes}. Send a shorter id, or leave "
                    + "the header out.");
            id = bytes.Slice(start, length);
        }
        return id.IsEmpty ? null : Of(id, redrives);
    }
}
