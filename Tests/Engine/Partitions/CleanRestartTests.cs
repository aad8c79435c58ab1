using System.Globalization;
using OrleansMq.Brokers;
using OrleansMq.Partitions;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Topics;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>
/// What a start after a clean stop reads, counted. Here over some hundred MB on the machine's disk; with <c>OMQ_LONG=1</c> over 5 GB.
/// </summary>
public sealed class CleanRestartTests(ITestOutputHelper output)
{
    private const long MostBytesRead = 1 << 20;
    private static readonly long LogBytes = Environment.GetEnvironmentVariable("OMQ_LONG") == "1" ? 5L << 30 : 200L << 20;

    [Theory]
    [InlineData(1_000_000)]
    [InlineData(20_000)]
    public async Task A_clean_restart_reads_little_whatever_the_size_of_the_log(int batchBytes)
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

            // And a look-up in the middle of it reads a page or so of the index, and the batch.
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

    private sealed class CountingFiles(IFileSystem inner) : IFileSystem
    {
        private long _read;

        public long BytesRead => Interlocked.Read(ref _read);
        public void Reset() => Interlocked.Exchange(ref _read, 0);

        public IFile Open(string path, FileOpening mode) => new CountingFile(this, inner.Open(path, mode));
        public bool FileExists(string path) => inner.FileExists(path);
        public bool DirectoryExists(string path) => inner.DirectoryExists(path);
        public long GetLength(string path) => inner.GetLength(path);
        public void CreateDirectory(string path) => inner.CreateDirectory(path);
        public IReadOnlyList<string> ListFiles(string directory) => inner.ListFiles(directory);
        public IReadOnlyList<string> ListDirectories(string directory) => inner.ListDirectories(directory);
        public void MoveFile(string from, string to) => inner.MoveFile(from, to);
        public void MoveDirectory(string from, string to) => inner.MoveDirectory(from, to);
        public void DeleteFile(string path) => inner.DeleteFile(path);
        public void DeleteDirectory(string path) => inner.DeleteDirectory(path);
        public void FlushDirectory(string path) => inner.FlushDirectory(path);
        public long GetFreeSpace(string path) => inner.GetFreeSpace(path);
        public IDisposable? TryLock(string path) => inner.TryLock(path);

        private sealed class CountingFile(CountingFiles owner, IFile inner) : IFile
        {
            public string Path => inner.Path;
            public long Length => inner.Length;

            public int Read(Span<byte> buffer, long position)
            {
                var read = inner.Read(buffer, position);
                Interlocked.Add(ref owner._read, read);
                return read;
            }

            public void Write(ReadOnlySpan<byte> bytes, long position) => inner.Write(bytes, position);
            public void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position) => inner.Write(buffers, position);
            public void Flush() => inner.Flush();
            public void SetLength(long length) => inner.SetLength(length);
            public void Dispose() => inner.Dispose();
        }
    }
}
