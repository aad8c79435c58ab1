using BenchmarkDotNet.Attributes;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>Compresses and decompresses 64 KiB of records.</summary>
public class CompressionBenchmarks
{
    private readonly PooledBuffer _compressed = new();
    private readonly PooledBuffer _destination = new();
    private ICompressionCodec _codec = null!;
    private byte[] _plain = [];

    [Params(CompressionType.Gzip, CompressionType.Snappy, CompressionType.Lz4, CompressionType.Zstd)]
    public CompressionType Codec { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _plain = Samples.Batch(64 << 10)[RecordBatchHeader.Size..];
        _codec = StandardCodecs.All.Get(Codec);
        _compressed.Clear();
        _codec.Compress(_plain, _compressed);
        Console.WriteLine($"// {Codec}: {_plain.Length} bytes become {_compressed.Length}");
    }

    [Benchmark]
    public int Compress()
    {
        _destination.Clear();
        _codec.Compress(_plain, _destination);
        return _destination.Length;
    }

    [Benchmark]
    public int Decompress()
    {
        _destination.Clear();
        _codec.Decompress(_compressed.WrittenSpan, _destination, _plain.Length);
        return _destination.Length;
    }
}
