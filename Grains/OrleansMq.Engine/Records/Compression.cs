using System.Buffers;

namespace OrleansMq.Records;

/// <summary>One compression format: the port to the codec libraries. Implementations are thread-safe.</summary>
public interface ICompressionCodec
{
    /// <summary>The format.</summary>
    CompressionType Type { get; }

    /// <summary>Null if the codec works; otherwise which library this machine lacks, and how to install it.</summary>
    string? Missing => null;

    /// <summary>Compresses <paramref name="source"/> and appends the result to <paramref name="destination"/>.</summary>
    /// <exception cref="CodecUnavailableException">The codec's library is not installed on this machine.</exception>
    void Compress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination);

    /// <summary>Decompresses all of <paramref name="source"/> and appends the result to <paramref name="destination"/>.</summary>
    /// <param name="source">The complete compressed bytes.</param>
    /// <param name="destination">Receives the records.</param>
    /// <param name="maxLength">The maximum number of decompressed bytes, so that a decompression bomb cannot exhaust memory.</param>
    /// <exception cref="RecordBatchException"><see cref="RecordBatchError.TooLong"/>, <see cref="RecordBatchError.BadCompression"/>.
    /// </exception>
    /// <exception cref="CodecUnavailableException">The codec's library is not installed on this machine.</exception>
    void Decompress(ReadOnlySpan<byte> source, IBufferWriter<byte> destination, int maxLength);

    /// <summary>The memory in bytes that <see cref="Decompress"/> takes beside its output, as <paramref name="source"/> announces it: the
    /// window of earlier bytes that later ones refer to. 0 for formats with a small fixed one.</summary>
    long WindowOf(ReadOnlySpan<byte> source) => 0;
}

/// <summary>The codecs available in a process.</summary>
public sealed class CompressionCodecs
{
    private readonly ICompressionCodec?[] _byType = new ICompressionCodec?[5];

    /// <summary>Creates a set of codecs. Of two with the same type the later one is used.</summary>
    public CompressionCodecs(IEnumerable<ICompressionCodec> codecs)
    {
        foreach (var codec in codecs)
            _byType[(int)codec.Type] = codec;
    }

    /// <summary>An empty set: compressed batches pass through, but cannot be decoded.</summary>
    public static CompressionCodecs Empty { get; } = new([]);

    /// <summary>Returns the codec of a type.</summary>
    /// <exception cref="CodecUnavailableException">The set has no such codec.</exception>
    public ICompressionCodec Get(CompressionType type) =>
        (uint)type < (uint)_byType.Length && _byType[(int)type] is { } codec
            ? codec
            : throw new CodecUnavailableException(type, $"No codec for compression type '{type}' is installed.");

    /// <summary>Whether there is a codec of this type. Its library may be missing nevertheless, see <see cref="WhyMissing"/>.</summary>
    public bool Has(CompressionType type) => (uint)type < (uint)_byType.Length && _byType[(int)type] is not null;

    /// <summary>Returns null if batches of this type can be read and written; otherwise what this machine lacks, and how to install
    /// it.</summary>
    public string? WhyMissing(CompressionType type) => type == CompressionType.None ? null
        : Has(type) ? _byType[(int)type]!.Missing : $"No codec for compression type '{type}' is installed.";

    /// <summary>Returns what the codecs of the set lack on this machine, one entry for each that does not work.</summary>
    public IEnumerable<string> Missing() => _byType.Select(static codec => codec?.Missing).OfType<string>();
}

/// <summary>A codec's library is not installed. The message tells how to install it.</summary>
public sealed class CodecUnavailableException(CompressionType type, string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>The format that cannot be read or written.</summary>
    public CompressionType Type { get; } = type;
}
