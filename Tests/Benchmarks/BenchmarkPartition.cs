using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>A partition on the machine's disk, in a directory that is deleted with it.</summary>
internal sealed class BenchmarkPartition : IAsyncDisposable
{
    private readonly PartitionStore _store;
    private readonly string _directory;

    private BenchmarkPartition(string directory, PartitionStore store, Partition partition)
    {
        _directory = directory;
        _store = store;
        Partition = partition;
    }

    public Partition Partition { get; }

    /// <param name="directory">The directory.</param>
    /// <param name="config">Null keeps everything. Otherwise retention runs every second.</param>
    public static async Task<BenchmarkPartition> OpenAsync(string directory, TopicConfig? config = null)
    {
        Directory.CreateDirectory(directory);
        var options = new BrokerOptions { DataDirectory = directory, Codecs = StandardCodecs.All };
        if (config is not null)
            options = options with { RetentionCheckInterval = TimeSpan.FromSeconds(1) };
        var store = await PartitionStore.OpenAsync(options, _ => null);
        var partition = store.GetOrCreate(new TopicPartition("bench", 0), Guid.NewGuid(), config ?? Samples.Topic);
        return new BenchmarkPartition(directory, store, partition);
    }

    public async ValueTask DisposeAsync()
    {
        await _store.DisposeAsync();
        Directory.Delete(_directory, recursive: true);
    }
}
