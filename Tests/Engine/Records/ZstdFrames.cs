using OrleansMq.Records;

namespace OrleansMq.Tests.Engine.Records;

/// <summary>zstd frames that demand a window, with their content in one raw block.</summary>
internal static class ZstdFrames
{
    /// <summary>Window descriptors: the exponent above 2^10 in bits 7 to 3.</summary>
    public const byte Window16MiB = 14 << 3;
    public const byte Window128MiB = 17 << 3;
    public const byte Window256MiB = 18 << 3;

    /// <summary>A frame.</summary>
    public static byte[] Of(ReadOnlySpan<byte> content, byte window)
    {
        var block = (content.Length << 3) | 1; // raw, the last one
        return [0x28, 0xB5, 0x2F, 0xFD, 0, window, (byte)block, (byte)(block >> 8), (byte)(block >> 16), .. content];
    }

    /// <summary>A frame and one to skip, so that its blocks are not all that there is.</summary>
    public static byte[] Unbounded(ReadOnlySpan<byte> content, byte window) =>
        [.. Of(content, window), 0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0];

    /// <summary>An uncompressed batch, whose records become a frame.</summary>
    public static byte[] Unbounded(byte[] batch, byte window) => Framed(batch, Unbounded(batch.AsSpan(RecordBatchHeader.Size), window));

    /// <summary>An uncompressed batch, whose records become a frame of known content.</summary>
    public static byte[] Bounded(byte[] batch, byte window) => Framed(batch, Of(batch.AsSpan(RecordBatchHeader.Size), window));

    private static byte[] Framed(byte[] batch, byte[] frame)
    {
        var framed = (byte[])[.. batch[..RecordBatchHeader.Size], .. frame];
        (RecordBatchHeader.Read(framed) with { Attributes = (short)CompressionType.Zstd }).WriteTo(framed);
        RecordBatches.Seal(framed);
        return framed;
    }
}
