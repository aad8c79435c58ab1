using BenchmarkDotNet.Attributes;
using OrleansMq.Brokers;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>Fetches of up to 1 MiB out of 256 MiB, in order and at random offsets: the read path, index look-up included.</summary>
public class ReadBenchmarks
{
    private const int Batches = 4096;
    private readonly Random _random = new(1);
    private BenchmarkPartition _opened = null!;
    private long _next;

    [GlobalSetup]
    public async Task Setup()
    {
        _opened = await BenchmarkPartition.OpenAsync(Directory.CreateTempSubdirectory("omq-read-").FullName);
        var batch = Samples.Batch(64 << 10);
        for (var i = 0; i < Batches; i++)
        {
            var result = await _opened.Partition.AppendAsync(batch, Acks.Leader);
            if (result.Error != ErrorCode.None)
                throw new InvalidOperationException(result.Message);
        }
    }

    [GlobalCleanup]
    public async Task Cleanup() => await _opened.DisposeAsync();

    [Benchmark]
    public async ValueTask<int> Sequential()
    {
        if (_next >= _opened.Partition.HighWatermark)
            _next = 0;
        using var fetched = await FetchAsync(_next);
        var bytes = fetched.Records.Length;
        _next += bytes / (64 << 10) * (_opened.Partition.HighWatermark / Batches);
        return bytes;
    }

    [Benchmark]
    public async ValueTask<int> Random()
    {
        using var fetched = await FetchAsync(_random.NextInt64(_opened.Partition.HighWatermark));
        return fetched.Records.Length;
    }

    private async ValueTask<FetchResult> FetchAsync(long offset)
    {
        var fetched = await _opened.Partition.ReadAsync(new FetchRequest(_opened.Partition.TopicPartition, offset));
        return fetched.Error == ErrorCode.None ? fetched : throw new InvalidOperationException(fetched.Message);
    }
}
