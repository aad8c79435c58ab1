using OrleansMq.Api;
using OrleansMq.Groups.Share;
using OrleansMq.Shares;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Engine.Storage;

namespace OrleansMq.Tests.Engine.Shares;

/// <summary>What members of share groups cost the disk: bytes that are read, and bytes that are written.</summary>
public sealed class ShareCostTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Acquisition_reads_little_more_than_its_records_and_its_settlement_is_one_small_batch()
    {
        var files = new CountedFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(files: files);
        for (var batch = 0; batch < 200; batch++)
            await rig.AppendAsync([.. Enumerable.Repeat(new string('a', 100), 100)]);
        var reader = await ShareReader.OpenAsync(rig.Partition, "g", new ShareTopicCursors(PartitionRig.TopicId,
            new Guid(0, 1, 0x7000, 0x80, 0, 0, 0, 0, 0, 0, 1), 0, []), new ShareGroupConfig { Start = ShareStart.Earliest })
            .WaitAsync(Patience);
        for (var acquisition = 0; acquisition < 5; acquisition++)
        {
            var readBefore = files.ReadBytes;
            using var records = await AcquireAsync(reader);
            var read = files.ReadBytes - readBefore;
            var run = Assert.Single(records.Acquired);
            Assert.Equal(500, run.Last - run.First + 1);
            // The first one does not know the size of records.
            if (acquisition > 0)
                Assert.InRange(read, 50_000, 2 * records.Batches.Sum(static batch => batch.Length));
            var (end, size) = (rig.Partition.LogEndOffset, rig.Partition.Log!.Segments[^1].Size);
            Assert.Equal(ErrorCode.None, await reader.AcknowledgeAsync(
            [
                new ShareAcknowledgement(run.First, run.First + 99, ShareAcknowledgeType.Accept),
                new ShareAcknowledgement(run.First + 100, run.Last, ShareAcknowledgeType.Accept),
            ]).WaitAsync(Patience));
            Assert.Equal(end + 1, rig.Partition.LogEndOffset);
            Assert.InRange(rig.Partition.Log!.Segments[^1].Size - size, 1, 200);
        }
    }

    private static async Task<ShareRecords> AcquireAsync(ShareReader reader)
    {
        var acquisition = reader.Acquire(500);
        await acquisition.Arrived.WaitAsync(Patience);
        return await reader.FinishAsync(acquisition, 1 << 20).WaitAsync(Patience);
    }

    // Counts the bytes that are read from segments.
    private sealed class CountedFiles(IFileSystem inner) : WrappedFileSystem(inner)
    {
        private long _readBytes;

        public long ReadBytes => Interlocked.Read(ref _readBytes);

        public override IFile Open(string path, FileOpening mode) => path.EndsWith(".log", StringComparison.Ordinal)
            ? new CountedFile(this, Inner.Open(path, mode)) : Inner.Open(path, mode);

        private sealed class CountedFile(CountedFiles owner, IFile inner) : WrappedFile(inner)
        {
            public override int Read(Span<byte> buffer, long position)
            {
                var read = base.Read(buffer, position);
                Interlocked.Add(ref owner._readBytes, read);
                return read;
            }
        }
    }
}
