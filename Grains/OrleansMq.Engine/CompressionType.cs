namespace OrleansMq;

/// <summary>The codec of a record batch, as in bits 0 to 2 of its attributes.</summary>
public enum CompressionType : byte
{
    /// <summary>Uncompressed.</summary>
    None = 0,
    /// <summary>RFC 1952.</summary>
    Gzip = 1,
    /// <summary>Snappy, in the framing of the Java library or as one raw block.</summary>
    Snappy = 2,
    /// <summary>LZ4 frames.</summary>
    Lz4 = 3,
    /// <summary>RFC 8878.</summary>
    Zstd = 4,
}
