using BenchmarkDotNet.Attributes;
using OrleansMq.Brokers;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>One batch appended to a partition and acknowledged, one at a time: the latency of the append path.</summary>
public class AppendBenchmarks
{
    private BenchmarkPartition _opened = null!;
    private byte[] _batch = [];

    [Params(1024, 65536)]
    public int BatchSize { get; set; }

    [GlobalSetup]
    public async Task Setup()
    {
        _opened = await BenchmarkPartition.OpenAsync(Directory.CreateTempSubdirectory("omq-append-").FullName);
        _batch = Samples.Batch(BatchSize);
    }

    [GlobalCleanup]
    public async Task Cleanup() => await _opened.DisposeAsync();

    [Benchmark]
    public async ValueTask<long> Append()
    {
        var result = await _opened.Partition.AppendAsync(_batch, Acks.Leader);
        return result.Error == ErrorCode.None ? result.BaseOffset : throw new InvalidOperationException(result.Message);
    }
}
