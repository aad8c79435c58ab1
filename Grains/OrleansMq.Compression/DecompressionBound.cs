using System.Buffers;
using OrleansMq.Records;

namespace OrleansMq.Compression;

/// <summary>
/// Bounds a decompressor's output. It offers room for one byte more than the bound, independent of what a header claims. A stream that uses
/// that byte is too long; a shorter one never costs more memory than its content.
/// </summary>
internal ref struct DecompressionBound(IBufferWriter<byte> destination, int maxLength)
{
    // Codecs work in blocks of 64 KiB; larger steps would only waste memory on small batches.
    private const int Step = 64 << 10;
    private long _written;

    /// <summary>The number of bytes written so far.</summary>
    public readonly long Written => _written;

    /// <summary>Returns the span for the next bytes, of at least one byte.</summary>
    public readonly Span<byte> NextSpan()
    {
        var room = maxLength - _written + 1;
        var span = destination.GetSpan((int)Math.Min(room, Step));
        return span.Length > room ? span[..(int)room] : span;
    }

    /// <summary>Counts <paramref name="count"/> more bytes.</summary>
    /// <exception cref="RecordBatchException">The output exceeds the bound.</exception>
    public void Advance(int count)
    {
        destination.Advance(count);
        _written += count;
        if (_written > maxLength)
            throw TooLong(maxLength);
    }

    public static RecordBatchException TooLong(int maxLength) =>
        new(RecordBatchError.TooLong, $"The records decompress to more than {maxLength} bytes; send smaller batches.");
}
