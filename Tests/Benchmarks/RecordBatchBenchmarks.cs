using BenchmarkDotNet.Attributes;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>Encodes and decodes a batch of 600 records of 100 bytes. One operation is one batch.</summary>
public class RecordBatchBenchmarks
{
    private const int Records = 600;
    private readonly byte[] _value = new byte[100];
    private RecordBatchBuilder _builder = null!;
    private byte[] _batch = [];

    [Params(CompressionType.None, CompressionType.Lz4)]
    public CompressionType Codec { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        Samples.Fill(new Random(1), _value);
        _builder = new RecordBatchBuilder(Codec, StandardCodecs.All, 64 << 10);
        _batch = Samples.Batch(64 << 10, Codec);
    }

    [GlobalCleanup]
    public void Cleanup() => _builder.Dispose();

    [Benchmark]
    public int Encode()
    {
        _builder.Reset();
        for (var i = 0; i < Records; i++)
            _builder.Add(1_700_000_000_000 + i, default, false, _value, true);
        return _builder.Build().Length;
    }

    [Benchmark]
    public long Decode()
    {
        long bytes = 0;
        using var reader = new RecordReader(_batch, StandardCodecs.All);
        while (reader.MoveNext())
            bytes += reader.Current.Value.GetValueOrDefault().Length;
        return bytes;
    }

    /// <summary>The broker's validation of every batch.</summary>
    [Benchmark]
    public bool Validate() => RecordBatches.ValidateProduced(_batch, out _) is null;

    /// <summary>The broker's validation for a compacted topic.</summary>
    [Benchmark]
    public bool ValidateRecords() => RecordBatches.ValidateRecords(_batch, StandardCodecs.All) is null;
}
