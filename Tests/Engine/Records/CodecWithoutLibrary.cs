using System.Buffers;
using OrleansMq.Records;

namespace OrleansMq.Tests.Engine;

/// <summary>zstd on a machine without libzstd.</summary>
internal sealed class CodecWithoutLibrary : ICompressionCodec
{
    public const string Reason = "No library for Zstd was found. Install it.";

    public CompressionType Type => CompressionType.Zstd;

    public string? Missing => Reason;

    public void Compress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination) => throw new CodecUnavailableException(Type, Reason);

    public void Decompress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination, int maxLength) =>
        throw new CodecUnavailableException(Type, Reason);
}
