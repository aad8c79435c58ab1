using System.Text;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Compression;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Crash;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Conformance;

/// <summary>The guarantees of a partition's log on any disk: run against each implementation of <see cref="IFileSystem"/>.</summary>
public abstract class LogConformance : IAsyncLifetime
{
    private static readonly TopicPartition Name = new("t", 0);
    private static readonly Guid TopicId = new("33333333-3333-3333-3333-333333333333");
    private static readonly TopicConfig Small = TopicConfig.Default with { SegmentBytes = 2000, IndexIntervalBytes = 200,
        FileDeleteDelayMs = 0, RetentionMs = -1 };

    private readonly ManualTime _time = new();
    private readonly List<PartitionStore> _stores = [];
    private PartitionStore _store = null!;
    private TopicConfig _config = Small;
    private int _sent;

    private Partition Partition =>
        _store.TryGet(Name, out var found) ? found : throw new InvalidOperationException("The partition is not there.");
    private string PartitionDirectory => Path.Combine(DataDirectory, "logs", Name.ToString());

    private protected abstract IFileSystem Disk { get; }
    protected abstract string DataDirectory { get; }

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var store in _stores)
            await store.DisposeAsync();
        CleanUp();
    }

    protected abstract void CleanUp();

    [Fact]
    public async Task Appended_batches_are_read_byte_for_byte_at_every_offset()
    {
        await OpenAsync(Small);
        var batches = new List<(long Offset, byte[] Bytes)>();
        foreach (var compression in new[] { CompressionType.None, CompressionType.Gzip, CompressionType.Snappy, CompressionType.None })
        {
            for (var i = 0; i < 10; i++)
            {
                var bytes = Batch(1 + (i % 4), compression: compression);
                var offset = await AppendAsync(bytes);
                batches.Add((offset, bytes));
            }
        }
        await CheckAsync();
        await RestartAsync();
        await CheckAsync();
        await KillAsync();
        await CheckAsync();

        async Task CheckAsync()
        {
            for (var offset = 0L; offset < Partition.LogEndOffset; offset++)
            {
                var expected = batches.Last(b => b.Offset <= offset);
                using var result = await Partition.ReadAsync(new FetchRequest(Name, offset, MaxBytes: 1));
                Assert.Equal(ErrorCode.None, result.Error);
                Assert.Equal(expected.Offset, RecordBatchHeader.Read(result.Records.Span).BaseOffset);
                Assert.Equal(expected.Bytes.AsSpan(RecordBatchHeader.CrcStart), result.Records.Span[RecordBatchHeader.CrcStart..]);
            }
        }
    }

    [Fact]
    public async Task Indexes_agree_with_the_log_after_rolls_restarts_and_kills()
    {
        await OpenAsync(Small);
        for (var life = 0; life < 4; life++)
        {
            for (var i = 0; i < 30; i++)
            {
                _time.Advance(((i * 7919) % 23) - 5);
                await AppendAsync(Batch(1 + (i % 3)));
            }
            if (life % 2 == 0)
                await RestartAsync();
            else
                await KillAsync();
            Partition.Checkpoint();
            var found = NaiveLog.Read(Disk, PartitionDirectory);
            Assert.Equal(Partition.LogEndOffset - 1, found[^1].LastOffset);
            Assert.True(Partition.Log!.Segments.Count > 2);
            NaiveLog.CheckIndexes(Disk, PartitionDirectory, found, Small.IndexIntervalBytes);
        }
    }

    [Fact]
    public async Task First_record_at_or_after_a_time_is_found()
    {
        await OpenAsync(Small);
        for (var i = 0; i < 60; i++)
        {
            _time.Advance(((i * 7919) % 41) - 10);
            await AppendAsync(Batch(1 + (i % 3)));
        }
        var records = NaiveLog.Read(Disk, PartitionDirectory).SelectMany(b => b.Records).ToList();
        for (var time = records.Min(r => r.Timestamp) - 1; time <= records.Max(r => r.Timestamp) + 1; time++)
            Assert.Equal(records.Find(r => r.Timestamp >= time)?.Offset ?? -1, Partition.FindOffset(OffsetSpec.AtOrAfter(time)).Offset);
    }

    [Fact]
    public async Task Duplicate_append_returns_the_original_offset()
    {
        await OpenAsync(Small);
        var batches = new List<(long Offset, byte[] Bytes)>();
        for (var i = 0; i < 40; i++)
        {
            var bytes = Batch(2, producerId: 5, sequence: i * 2);
            batches.Add((await AppendAsync(bytes), bytes));
        }
        await CheckAsync();
        await RestartAsync();
        await CheckAsync();
        await KillAsync();
        await CheckAsync();

        async Task CheckAsync()
        {
            foreach (var (offset, bytes) in batches.TakeLast(5))
                Assert.Equal(offset, await AppendAsync(bytes));
            Assert.Equal(80, Partition.LogEndOffset);
            Assert.Equal(ErrorCode.OutOfOrderSequenceNumber,
                (await Partition.AppendAsync(Batch(1, producerId: 5, sequence: 81), Acks.All)).Error);
        }
    }

    [Fact]
    public async Task Deleted_records_stay_deleted_and_free_disk_space()
    {
        await OpenAsync(Small);
        await FillAsync(60);
        var size = Partition.SizeInBytes;
        Assert.Equal(41, await Partition.DeleteRecordsAsync(41));
        Assert.InRange(Partition.SizeInBytes, 1, size / 2);
        await KillAsync();
        Assert.Equal((41, 60), (Partition.LogStartOffset, Partition.LogEndOffset));
        using var below = await Partition.ReadAsync(new FetchRequest(Name, 40));
        Assert.Equal(ErrorCode.OffsetOutOfRange, below.Error);
        await Partition.DeleteRecordsAsync(-1);
        await RestartAsync();
        Assert.Equal((60, 60), (Partition.LogStartOffset, Partition.LogEndOffset));
        Assert.Equal(60, await AppendAsync(Batch(1)));
    }

    [Fact]
    public async Task Retention_drops_segments_by_age_and_size()
    {
        await OpenAsync(Small with { RetentionMs = 1000, RetentionBytes = 5000 });
        await FillAsync(30);
        _time.Advance(2000);
        await FillAsync(30);
        Partition.Maintain(_time.NowMs);
        Assert.InRange(Partition.LogStartOffset, 20, 59);
        Assert.InRange(Partition.SizeInBytes, 5000, 7000);
        var start = Partition.LogStartOffset;
        await KillAsync();
        Assert.Equal(start, Partition.LogStartOffset);
        Assert.DoesNotContain(Disk.ListFiles(PartitionDirectory), name => name.EndsWith(".deleted", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Compaction_keeps_the_latest_record_of_each_key_over_restarts()
    {
        await OpenAsync(Small with { CleanupCompact = true, CleanupDelete = false });
        await FillAsync(120, keys: 10);
        var bound = Partition.Log!.Active.BaseOffset;
        _store.RunCompaction();
        var expected = Enumerable.Range(0, 120).Select(i => (long)i).Where(o => o >= bound || o >= bound - 10).ToList();
        Assert.Equal(expected, await OffsetsAsync());
        await KillAsync();
        Assert.Equal(expected, await OffsetsAsync());
        await FillAsync(40, keys: 10);
        _store.RunCompaction();
        await RestartAsync();
        Assert.InRange((await OffsetsAsync()).Count, 10, 40);
        Assert.Equal(160, Partition.LogEndOffset);
        NaiveLog.CheckIndexes(Disk, PartitionDirectory, NaiveLog.Read(Disk, PartitionDirectory), Small.IndexIntervalBytes);
    }

    [Fact]
    public async Task Torn_tail_is_truncated_and_appends_continue()
    {
        await OpenAsync(Small);
        await FillAsync(25);
        var name = Disk.ListFiles(PartitionDirectory).Where(n => n.EndsWith(".log", StringComparison.Ordinal)).Order(StringComparer.Ordinal)
            .Last();
        await KillAsync(() =>
        {
            using var file = Disk.Open(Path.Combine(PartitionDirectory, name), FileOpening.ReadWrite);
            file.Write(Batch(3).AsSpan(0, 90), file.Length);
        });
        Assert.Equal(25, Partition.LogEndOffset);
        Assert.Equal(25, await AppendAsync(Batch(2)));
        Assert.Equal(27, NaiveLog.Read(Disk, PartitionDirectory)[^1].LastOffset + 1);
    }

    [Fact]
    public async Task Changed_flushed_byte_takes_the_partition_offline_and_is_named()
    {
        await OpenAsync(Small with { FlushMessages = 1 });
        await FillAsync(30);
        Partition.Flush();
        var name = Disk.ListFiles(PartitionDirectory).Where(n => n.EndsWith(".log", StringComparison.Ordinal)).Order(StringComparer.Ordinal)
            .Last();
        await KillAsync(() =>
        {
            using var file = Disk.Open(Path.Combine(PartitionDirectory, name), FileOpening.ReadWrite);
            var one = new byte[1];
            file.Read(one, 70);
            one[0] ^= 1;
            file.Write(one, 70);
            file.Flush();
        });
        if (Partition.OfflineReason is null)
        {
            using var result = await Partition.ReadAsync(new FetchRequest(Name, long.Parse(name[..20])));
            Assert.Equal(ErrorCode.KafkaStorageError, result.Error);
        }
        Assert.Contains(name, Partition.OfflineReason);
        Assert.Contains("at byte 0 (offset", Partition.OfflineReason);
        Assert.Equal(ErrorCode.KafkaStorageError, (await Partition.AppendAsync(Batch(1), Acks.All)).Error);
    }

    private async Task OpenAsync(TopicConfig config)
    {
        _config = config;
        Disk.CreateDirectory(DataDirectory);
        _store = await PartitionStore.OpenAsync(new BrokerOptions
        {
            DataDirectory = DataDirectory,
            FileSystem = Disk,
            TimeProvider = _time,
            Log = EngineLog.Silent,
            Codecs = StandardCodecs.All,
            MinFreeBytes = 0,
            MaxOpenFiles = 6,
        }, id => id == TopicId ? _config : null);
        _stores.Add(_store);
        _store.GetOrCreate(Name, TopicId, config);
    }

    private async Task RestartAsync()
    {
        await _store.DisposeAsync();
        await OpenAsync(_config);
    }

    /// <summary>Abandons the store with all that it has not written, and opens the disk's content with another.</summary>
    private async Task KillAsync(Action? meanwhile = null)
    {
        _stores.Remove(_store);
        meanwhile?.Invoke();
        await OpenAsync(_config);
    }

    private async Task FillAsync(int batches, int keys = int.MaxValue)
    {
        for (var i = 0; i < batches; i++)
            await AppendAsync(Batch(1, keys: keys));
    }

    private async Task<long> AppendAsync(byte[] batch)
    {
        var result = await Partition.AppendAsync((byte[])batch.Clone(), Acks.All);
        Assert.True(result.Error == ErrorCode.None, $"{result.Error}: {result.Message}");
        return result.BaseOffset;
    }

    private byte[] Batch(int records, long producerId = -1, int sequence = -1, CompressionType compression = CompressionType.None,
        int keys = int.MaxValue)
    {
        using var builder = new RecordBatchBuilder(compression, StandardCodecs.All);
        for (var i = 0; i < records; i++)
        {
            var number = _sent++;
            builder.Add(_time.NowMs + i, Encoding.UTF8.GetBytes($"k{number % keys}"), true,
                Encoding.UTF8.GetBytes($"{number} {new string('v', 100)}"), true);
        }
        if (producerId >= 0)
            builder.SetProducer(producerId, 0, sequence);
        return builder.Build().ToArray();
    }

    private async Task<List<long>> OffsetsAsync()
    {
        var offsets = new List<long>();
        for (var offset = Partition.LogStartOffset; offset < Partition.HighWatermark;)
        {
            using var result = await Partition.ReadAsync(new FetchRequest(Name, offset));
            if (result.Records.IsEmpty)
                break;
            var batches = NaiveLog.ReadFile("read", result.Records.ToArray());
            offsets.AddRange(batches.SelectMany(b => b.Records).Select(r => r.Offset));
            offset = batches[^1].LastOffset + 1;
        }
        return offsets;
    }
}

/// <summary>The conformance suite on an in-memory disk.</summary>
public sealed class MemoryLogConformance : LogConformance
{
    private protected override IFileSystem Disk { get; } = new MemoryFileSystem();
    protected override string DataDirectory => "/data";

    protected override void CleanUp()
    {
    }
}

/// <summary>The conformance suite on the machine's disk.</summary>
public sealed class DiskLogConformance : LogConformance
{
    private protected override IFileSystem Disk { get; } = new DiskFileSystem();
    protected override string DataDirectory { get; } = Path.Combine(Path.GetTempPath(), "omq-log-" + Guid.NewGuid().ToString("N"));

    protected override void CleanUp() => Directory.Delete(DataDirectory, recursive: true);
}
