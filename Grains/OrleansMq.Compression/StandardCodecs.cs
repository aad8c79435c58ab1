using OrleansMq.Records;

namespace OrleansMq.Compression;

/// <summary>The codecs a broker and a client ship with.</summary>
public static class StandardCodecs
{
    /// <summary>gzip, snappy, lz4 and zstd. lz4 and zstd load the system's library when first used.</summary>
    public static CompressionCodecs All { get; } = new([new GzipCodec(), new SnappyCodec(), new Lz4Codec(), new ZstdCodec()]);
}
