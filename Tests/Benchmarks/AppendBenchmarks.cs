using BenchmarkDotNet.Attributes;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>Appends one batch at a time to a partition and waits for its acknowledgement: the latency of the append path.</summary>
public class AppendBenchmarks
{
    private const int Appends = 256;
    private BenchmarkPartition _opened = null!;
    private byte[] _batch = [];

    [Params(1024, 65536)]
    public int BatchSize { get; set; }

    // The in-process runner does not await setups and benchmarks.
    [GlobalSetup]
    public void Setup()
    {
        var directory = new CommandArguments([]).Directory("append");
        _opened = BenchmarkPartition.OpenAsync(directory, Samples.SmallTopic).GetAwaiter().GetResult();
        _batch = Samples.Batch(BatchSize);
    }

    [GlobalCleanup]
    public void Cleanup() => _opened.DisposeAsync().AsTask().GetAwaiter().GetResult();

    [Benchmark(OperationsPerInvoke = Appends)]
    public long Append() => AppendAsync().GetAwaiter().GetResult();

    private async Task<long> AppendAsync()
    {
        for (var i = 0; i < Appends; i++)
        {
            var result = await _opened.Partition.AppendAsync(_batch, Acks.Leader);
            if (result.Error != ErrorCode.None)
                throw new InvalidOperationException(result.Message);
        }
        return _opened.Partition.HighWatermark;
    }
}
