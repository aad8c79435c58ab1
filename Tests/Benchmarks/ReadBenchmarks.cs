using BenchmarkDotNet.Attributes;
using OrleansMq.Api;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>Fetches of up to 1 MiB out of 256 MiB, sequentially and at random offsets: the read path, including index lookup and
/// CRC.</summary>
public class ReadBenchmarks
{
    private const int Batches = 4096;
    private const int Fetches = 64;
    private readonly Random _random = new(1);
    private BenchmarkPartition _opened = null!;
    private byte[] _batch = [];
    private long _next;

    [GlobalSetup]
    public void Setup()
    {
        _batch = Samples.Batch(64 << 10);
        _opened = BenchmarkPartition.OpenAsync(new CommandArguments([]).Directory("read")).GetAwaiter().GetResult();
        FillAsync().GetAwaiter().GetResult();
    }

    [GlobalCleanup]
    public void Cleanup() => _opened.DisposeAsync().AsTask().GetAwaiter().GetResult();

    [Benchmark(OperationsPerInvoke = Fetches)]
    public long Sequential() => SequentialAsync().GetAwaiter().GetResult();

    [Benchmark(OperationsPerInvoke = Fetches)]
    public long Random() => RandomAsync().GetAwaiter().GetResult();

    private async Task FillAsync()
    {
        for (var i = 0; i < Batches; i++)
        {
            var result = await _opened.Partition.AppendAsync(_batch, Acks.Leader);
            if (result.Error != ErrorCode.None)
                throw new InvalidOperationException(result.Message);
        }
    }

    private async Task<long> SequentialAsync()
    {
        var recordsPerBatch = _opened.Partition.HighWatermark / Batches;
        var bytes = 0L;
        for (var i = 0; i < Fetches; i++)
        {
            if (_next >= _opened.Partition.HighWatermark)
                _next = 0;
            using var fetched = await FetchAsync(_next);
            bytes += fetched.Records.Length;
            _next += fetched.Records.Length / _batch.Length * recordsPerBatch;
        }
        return bytes;
    }

    private async Task<long> RandomAsync()
    {
        var bytes = 0L;
        for (var i = 0; i < Fetches; i++)
        {
            using var fetched = await FetchAsync(_random.NextInt64(_opened.Partition.HighWatermark));
            bytes += fetched.Records.Length;
        }
        return bytes;
    }

    private async ValueTask<FetchResult> FetchAsync(long offset)
    {
        var fetched = await _opened.Partition.ReadAsync(new FetchRequest(_opened.Partition.TopicPartition, offset));
        return fetched.Error == ErrorCode.None ? fetched : throw new InvalidOperationException(fetched.Message);
    }
}
