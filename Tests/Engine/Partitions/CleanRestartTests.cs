using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Partitions;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Storage;
using OrleansMq.Topics;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>Counts the bytes that a start after a clean stop reads, over some hundred MB on the machine's disk; with <c>OMQ_LONG=1</c> over
/// 5 GB.</summary>
public sealed class CleanRestartTests(ITestOutputHelper output)
{
    private const long MostBytesRead = 1 << 20;
    private static readonly long LogBytes = Environment.GetEnvironmentVariable("OMQ_LONG") == "1" ? 5L << 30 : 200L << 20;

    [Theory]
    [InlineData(1_000_000)]
    [InlineData(20_000)]
    public async Task Clean_restart_reads_little_of_a_log_of_any_size(int batchBytes)
    {
        var directory = Directory.CreateTempSubdirectory("omq-clean-").FullName;
        try
        {
            var name = new TopicPartition("large", 0);
            var topicId = Guid.NewGuid();
            var config = new TopicConfig { SegmentBytes = (int)(LogBytes / 5), MaxMessageBytes = int.MaxValue };
            var counting = new CountingFiles(new DiskFileSystem());
            var options = new BrokerOptions { DataDirectory = directory, MinFreeBytes = 0, FileSystem = counting };
            long end;
            await using (var store = await PartitionStore.OpenAsync(options, _ => config))
                end = await FillAsync(store.GetOrCreate(name, topicId, config), batchBytes);

            counting.Reset();
            await using var reopened = await PartitionStore.OpenAsync(options, _ => config);
            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{LogBytes >> 20} MiB in batches of {batchBytes}: {counting.BytesRead} bytes read"));
            Assert.True(reopened.TryGet(name, out var partition));
            Assert.Equal((null, end), (partition.OfflineReason, partition.LogEndOffset));
            Assert.InRange(partition.SizeInBytes, LogBytes, long.MaxValue);
            Assert.InRange(counting.BytesRead, 1, MostBytesRead);

            // A lookup in the middle of it reads a page or so of the index, and the batch.
            counting.Reset();
            using var read = await partition.ReadAsync(new FetchRequest(name, end / 2, MaxBytes: 1));
            Assert.Equal(ErrorCode.None, read.Error);
            Assert.InRange(counting.BytesRead, batchBytes, batchBytes + (64 << 10));
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static async Task<long> FillAsync(Partition partition, int batchBytes)
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), default, false, new byte[batchBytes], true);
        var batch = builder.Build().ToArray();
        while (partition.SizeInBytes < LogBytes)
            Assert.Equal(ErrorCode.None, (await partition.AppendAsync(batch, Acks.All)).Error);
        return partition.LogEndOffset;
    }

    private sealed class CountingFiles(IFileSystem inner) : WrappedFileSystem(inner)
    {
        private long _read;

        public long BytesRead => Interlocked.Read(ref _read);
        public void Reset() => Interlocked.Exchange(ref _read, 0);

        public override IFile Open(string path, FileOpening mode) => new CountingFile(this, Inner.Open(path, mode));

        private sealed class CountingFile(CountingFiles owner, IFile inner) : WrappedFile(inner)
        {
            public override int Read(Span<byte> buffer, long position)
            {
                var read = Inner.Read(buffer, position);
                Interlocked.Add(ref owner._read, read);
                return read;
            }
        }
    }
}
