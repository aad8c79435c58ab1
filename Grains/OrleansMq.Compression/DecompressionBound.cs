using System.Buffers;
using OrleansMq.Records;

namespace OrleansMq.Compression;

/// <summary>
/// Counts what a decompressor writes. It is given room for one byte more than the bound, never for what a header claims: a stream that
/// uses that byte is too long, and one that ends before it has cost no more than what it holds.
/// </summary>
internal ref struct DecompressionBound(IBufferWriter<byte> destination, int maxLength)
{
    // Codecs work in blocks of 64 KiB; larger steps would only take memory that small batches do not need.
    private const int Step = 64 << 10;
    private long _written;

    /// <summary>Bytes so far.</summary>
    public readonly long Written => _written;

    /// <summary>Where the next bytes go: at least one byte.</summary>
    public readonly Span<byte> NextSpan()
    {
        var room = maxLength - _written + 1;
        var span = destination.GetSpan((int)Math.Min(room, Step));
        return span.Length > room ? span[..(int)room] : span;
    }

    /// <summary>Counts <paramref name="count"/> bytes more.</summary>
    /// <exception cref="RecordBatchException">There are more than allowed.</exception>
    public void Advance(int count)
    {
        destination.Advance(count);
        _written += count;
        if (_written > maxLength)
            throw TooLong(maxLength);
    }

    public static RecordBatchException TooLong(int maxLength) =>
        new(RecordBatchError.BadCompression, $"The records decompress to more than {maxLength} bytes; send smaller batches.");
}
