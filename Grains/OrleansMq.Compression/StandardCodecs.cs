using OrleansMq.Records;

namespace OrleansMq.Compression;

/// <summary>The codecs that brokers and clients ship with.</summary>
public static class StandardCodecs
{
    /// <summary>gzip, snappy, lz4 and zstd. lz4 and zstd load the system's library on first use.</summary>
    public static CompressionCodecs All { get; } = new([new GzipCodec(), new SnappyCodec(), new Lz4Codec(), new ZstdCodec()]);
}
