using OrleansMq.Log;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Compaction;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Log;

/// <summary>A slice replaces the batches only where their CRCs need no check, and describes the same batches.</summary>
public sealed class LogSliceTests
{
    private const int Batches = 600;
    private const int EnoughBytes = 32 << 10;

    private readonly MemoryFileSystem _disk = new();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Slice_holds_whole_batches_from_the_requested_offset_on(bool roll)
    {
        var log = Filled(_disk, roll);
        var end = log.Log.LogEndOffset;
        var random = new Random(1);
        var slices = 0;
        for (var round = 0; round < 1000; round++)
        {
            var offset = (long)random.Next((int)end);
            var limit = Math.Min(end, offset + 1 + random.Next((int)end));
            limit = LimitAt(log, limit);
            var maxBytes = 1 + random.Next(200_000);
            var (batches, slice) = log.Log.ReadOrSlice(offset, limit, maxBytes);
            using var read = log.Log.Read(offset, limit, maxBytes);
            if (slice is null)
            {
                Assert.Equal(read?.Memory.ToArray(), batches?.Memory.ToArray());
                batches?.Dispose();
                continue;
            }
            slices++;
            Assert.Null(batches);
            Assert.Equal(read!.Memory.ToArray(), BytesOf(slice));
            Assert.Equal(read.NextOffset, slice.NextOffset);
            slice.Dispose();
        }
        Assert.True(slices > 200, $"Only {slices} of 1000 reads were slices.");
    }

    [Fact]
    public void Batches_of_an_earlier_process_are_verified_once()
    {
        var log = Reopened();
        var (batches, slice) = log.Log.ReadOrSlice(0, log.Log.LogEndOffset, 100_000);
        Assert.Null(slice);
        Assert.NotNull(batches);
        var next = batches.NextOffset;
        batches.Dispose();
        (batches, slice) = log.Log.ReadOrSlice(0, log.Log.LogEndOffset, 100_000);
        Assert.Null(batches);
        Assert.Equal(next, slice!.NextOffset);
        slice.Dispose();
        // The batches after it are not verified yet.
        (batches, slice) = log.Log.ReadOrSlice(next, log.Log.LogEndOffset, 100_000);
        Assert.Null(slice);
        batches!.Dispose();
    }

    [Fact]
    public void Evicted_batches_are_verified_again()
    {
        var log = Filled(_disk, roll: false);
        _disk.HoldsPages = false;
        Damage(log, 20_000);
        Assert.Throws<DamagedLogException>(() => log.Log.ReadOrSlice(0, log.Log.LogEndOffset, 100_000));
    }

    /// <summary>The search for a batch, and the system's read-ahead, bring pages back that were not checked since.</summary>
    [Fact]
    public void Evicted_batches_that_the_search_itself_brings_back_are_verified_again()
    {
        var pages = new PagedFiles(_disk);
        var log = Filled(pages, roll: false);
        Damage(log, 20_000);
        pages.Evict();
        Assert.Throws<DamagedLogException>(() => log.Log.ReadOrSlice(0, log.Log.LogEndOffset, 100_000));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Evicted_batches_that_an_earlier_read_brings_back_are_verified_again(bool isVerifiedBefore)
    {
        var pages = new PagedFiles(_disk);
        var log = Filled(pages, roll: false);
        if (isVerifiedBefore)
        {
            log.Log.MoveRecoveryPoint();
            log.Log.CloseFiles();
            log = new TestLog(pages, Config, clean: true);
            log.Log.Read(0, log.Log.LogEndOffset, int.MaxValue)!.Dispose();
        }
        Damage(log, 100_000);
        pages.Evict();
        var (first, slice) = log.Log.ReadOrSlice(0, log.Log.LogEndOffset, 80_000);
        Assert.Null(slice);
        var next = first!.NextOffset;
        first.Dispose();
        Assert.Throws<DamagedLogException>(() => log.Log.ReadOrSlice(next, log.Log.LogEndOffset, 80_000));
    }

    [Fact]
    public void Truncated_range_is_no_longer_verified()
    {
        var log = Reopened();
        using (log.Log.Read(0, log.Log.LogEndOffset, int.MaxValue))
        {
        }
        lock (log.Log.RemovalLock)
            lock (log.Log.AppendLock)
                log.Log.TruncateTo(300);
        Damage(log, 20_000);
        Assert.Throws<DamagedLogException>(() => log.Log.ReadOrSlice(0, 300, 100_000));
    }

    [Fact]
    public void Compacted_log_is_read()
    {
        var log = Filled(_disk, roll: false);
        log.Log.Config = TestLog.Compacted;
        var (batches, slice) = log.Log.ReadOrSlice(0, log.Log.LogEndOffset, 100_000);
        Assert.Null(slice);
        batches!.Dispose();
    }

    [Fact]
    public void Slice_survives_its_segment()
    {
        var log = Filled(_disk, roll: true);
        var slice = log.Log.ReadOrSlice(0, log.Log.LogEndOffset, 100_000).Slice!;
        var before = BytesOf(slice);
        _disk.DeleteFile(log.Log.Segments[0].Log.Path);
        log.Log.CloseFiles();
        Assert.Equal(before, BytesOf(slice));
        slice.Dispose();
        Assert.Throws<ObjectDisposedException>(() => BytesOf(slice));
    }

    [Fact]
    public void Truncated_file_is_reported()
    {
        var log = Filled(_disk, roll: false);
        var slice = log.Log.ReadOrSlice(0, log.Log.LogEndOffset, 100_000).Slice!;
        using (var lease = log.Log.Active.Log.Rent())
            lease.File.SetLength(50_000);
        Assert.Contains("ends at 50000", Assert.Throws<IOException>(() => BytesOf(slice)).Message, StringComparison.Ordinal);
        slice.Dispose();
    }

    private static TopicConfig Config => TopicConfig.Default with { RetentionMs = -1 };

    private TestLog Reopened()
    {
        var earlier = Filled(_disk, roll: false).Log;
        earlier.MoveRecoveryPoint();
        earlier.CloseFiles();
        return new TestLog(_disk, Config, clean: true);
    }

    // In two steps, as it is sent.
    private static byte[] BytesOf(LogSlice slice)
    {
        Assert.InRange(slice.Length, EnoughBytes, int.MaxValue);
        var bytes = new byte[slice.Length];
        var read = slice.Read(bytes.AsSpan(0, 1000), 0);
        Assert.Equal(1000, read);
        Assert.Equal(slice.Length - 1000, slice.Read(bytes.AsSpan(1000), 1000));
        return bytes;
    }

    // A limit is never within a batch.
    private static long LimitAt(TestLog log, long offset)
    {
        if (offset >= log.Log.LogEndOffset)
            return log.Log.LogEndOffset;
        using var read = log.Log.Read(offset, log.Log.LogEndOffset, 1);
        return RecordBatchHeader.Read(read!.Memory.Span).BaseOffset;
    }

    private static void Damage(TestLog log, long position)
    {
        using var lease = log.Log.Segments[0].Log.Rent();
        var one = new byte[1];
        Assert.Equal(1, lease.File.Read(one, position));
        one[0] ^= 0x40;
        lease.File.Write(one, position);
    }

    private static TestLog Filled(IFileSystem files, bool roll)
    {
        var log = new TestLog(files, Config);
        for (var i = 0; i < Batches; i++)
        {
            var records = Enumerable.Range(0, 1 + i % 7)
                .Select(n => ((string?)"key", (string?)new string((char)('a' + i % 26), 100 + (i * 37 + n) % 900))).ToArray();
            log.Append(records);
            if (roll && i % 200 == 199)
                log.Roll();
        }
        return log;
    }
}
