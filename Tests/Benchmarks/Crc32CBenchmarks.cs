using BenchmarkDotNet.Attributes;
using OrleansMq.Records;

namespace OrleansMq.Tests.Benchmarks;

public class Crc32CBenchmarks
{
    private byte[] _bytes = [];

    [Params(100, 4096, 65536, 1 << 20)]
    public int Size { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        _bytes = new byte[Size];
        new Random(1).NextBytes(_bytes);
    }

    [Benchmark]
    public uint Hardware() => Crc32C.Compute(_bytes);

    [Benchmark]
    public uint Software() => Crc32C.AppendSoftware(0, _bytes);
}
