using System.Buffers;

namespace OrleansMq.Records;

/// <summary>The codec of a record batch, as in bits 0 to 2 of its attributes.</summary>
public enum CompressionType : byte
{
    /// <summary>Records stand as they are.</summary>
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

/// <summary>One compression format: the port behind which the codec libraries stand. Implementations are thread safe.</summary>
public interface ICompressionCodec
{
    /// <summary>The format.</summary>
    CompressionType Type { get; }

    /// <summary>Compresses <paramref name="source"/> onto the end of <paramref name="destination"/>.</summary>
    /// <exception cref="CodecUnavailableException">The codec's library is not on this machine.</exception>
    void Compress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination);

    /// <summary>Decompresses all of <paramref name="source"/> onto the end of <paramref name="destination"/>.</summary>
    /// <param name="source">The compressed bytes, whole.</param>
    /// <param name="destination">Where the records go.</param>
    /// <param name="maxLength">More bytes than this are refused, so that a small bomb cannot fill the memory.</param>
    /// <exception cref="RecordBatchException"><see cref="RecordBatchError.BadCompression"/>.</exception>
    /// <exception cref="CodecUnavailableException">The codec's library is not on this machine.</exception>
    void Decompress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination, int maxLength);
}

/// <summary>The codecs a process has.</summary>
public sealed class CompressionCodecs
{
    private readonly ICompressionCodec?[] _byType = new ICompressionCodec?[5];

    /// <summary>A set of codecs; of two with one type the later counts.</summary>
    public CompressionCodecs(IEnumerable<ICompressionCodec> codecs)
    {
        foreach (var codec in codecs)
            _byType[(int)codec.Type] = codec;
    }

    /// <summary>No codec at all: compressed batches pass through, but cannot be looked into.</summary>
    public static CompressionCodecs Empty { get; } = new([]);

    /// <summary>The codec of a type.</summary>
    /// <exception cref="CodecUnavailableException">There is none.</exception>
    public ICompressionCodec Get(CompressionType type) =>
        (uint)type < (uint)_byType.Length && _byType[(int)type] is { } codec
            ? codec
            : throw new CodecUnavailableException(type, $"No codec for compression type '{type}' is installed.");

    /// <summary>Whether there is a codec of that type.</summary>
    public bool Has(CompressionType type) => (uint)type < (uint)_byType.Length && _byType[(int)type] is not null;
}

/// <summary>A codec whose library is not there. The message says how to install it.</summary>
public sealed class CodecUnavailableException(CompressionType type, string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>The format that cannot be read or written.</summary>
    public CompressionType Type { get; } = type;
}
