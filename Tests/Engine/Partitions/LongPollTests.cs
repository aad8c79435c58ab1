using System.Diagnostics;
using OrleansMq.Api;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Partitions;

public sealed class LongPollTests
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Wait = TimeSpan.FromSeconds(10);

    [Fact]
    public async Task Waiting_reader_gets_appended_records()
    {
        await using var rig = await PartitionRig.StartAsync();
        var read = Poll(rig, 0);
        await UntilWaiting(rig);
        Assert.False(read.IsCompleted);
        await rig.AppendAsync("a");
        using var result = await read.WaitAsync(Deadline);
        Assert.Equal(ErrorCode.None, result.Error);
        Assert.False(result.Records.IsEmpty);
    }

    [Fact]
    public async Task Waiting_reader_without_records_returns_none_at_its_timeout()
    {
        await using var rig = await PartitionRig.StartAsync();
        var read = Poll(rig, 0);
        await UntilWaiting(rig);
        rig.Clock.Advance(Wait);
        using var result = await read.WaitAsync(Deadline);
        Assert.Equal((ErrorCode.None, true), (result.Error, result.Records.IsEmpty));
    }

    [Fact]
    public async Task Waiting_reader_waits_for_its_minimum_bytes()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.AppendAsync("a");
        var one = PartitionRig.Batch(0, "a").Length;
        var read = Poll(rig, 0, minBytes: 3 * one);
        await UntilWaiting(rig);
        await rig.AppendAsync("b");
        Assert.False(read.IsCompleted);
        await rig.AppendAsync("c");
        using var result = await read.WaitAsync(Deadline);
        Assert.Equal(3 * one, result.Records.Length);
    }

    [Fact]
    public async Task Cancelled_reader_is_removed()
    {
        await using var rig = await PartitionRig.StartAsync();
        using var cancel = new CancellationTokenSource();
        var read = Poll(rig, 0, cancellationToken: cancel.Token);
        await UntilWaiting(rig);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => read.WaitAsync(Deadline));
        Assert.Equal(ErrorCode.None, (await rig.AppendAsync("a")).Error);
    }

    [Fact]
    public async Task Waiting_readers_learn_of_the_deletion_of_their_partition()
    {
        await using var rig = await PartitionRig.StartAsync();
        var read = Poll(rig, 0);
        await UntilWaiting(rig);
        await rig.Store.DeleteAsync(PartitionRig.Name);
        using var result = await read.WaitAsync(Deadline);
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, result.Error);
        Assert.False(rig.Files.DirectoryExists(PartitionRig.PartitionPath));
        Assert.Empty(rig.Files.ListDirectories(Path.Combine(PartitionRig.Data, "logs")));
    }

    [Fact]
    public async Task Waiting_readers_learn_why_their_partition_goes_offline()
    {
        await using var rig = await PartitionRig.StartAsync();
        var read = Poll(rig, 0);
        await UntilWaiting(rig);
        rig.Partition.GoOffline("the disk is gone", null);
        using var result = await read.WaitAsync(Deadline);
        Assert.Equal((ErrorCode.KafkaStorageError, "the disk is gone"), (result.Error, result.Message));
    }

    [Fact]
    public async Task Readers_at_the_end_miss_no_append()
    {
        await using var rig = await PartitionRig.StartAsync(new TopicConfig { SegmentBytes = 5000 });
        const int Count = 2000;
        var reader = Task.Run(async () =>
        {
            for (var offset = 0L; offset < Count;)
            {
                // The clock stands still: a reader that is not woken would wait for ever.
                using var result = await Poll(rig, offset).WaitAsync(Deadline);
                Assert.Equal(ErrorCode.None, result.Error);
                using var records = new RecordReader(result.Records, CompressionCodecs.Empty);
                while (records.MoveNext())
                    offset = records.Current.Offset + 1;
            }
        });
        for (var i = 0; i < Count; i++)
            await rig.AppendAsync("x");
        await reader.WaitAsync(Deadline);
    }

    [Fact]
    public async Task Record_under_sync_is_invisible_before_its_flush()
    {
        var files = new FaultyFiles(new MemoryFileSystem());
        await using var rig = await PartitionRig.StartAsync(TopicConfig.DefaultFor(FlushPolicy.Sync), files);
        await rig.AppendAsync("a");
        using var flushing = new ManualResetEventSlim();
        using var go = new ManualResetEventSlim();
        files.OnFlush = path =>
        {
            flushing.Set();
            Assert.True(go.Wait(Deadline));
        };
        var append = rig.AppendAsync("b");
        Assert.True(flushing.Wait(Deadline));
        Assert.Equal((1L, 2L), (rig.Partition.HighWatermark, rig.Partition.LogEndOffset));
        Assert.False(append.IsCompleted);
        using (var early = await rig.Partition.ReadAsync(new FetchRequest(PartitionRig.Name, 1)))
            Assert.True(early.Records.IsEmpty);
        var reader = Poll(rig, 1);
        go.Set();
        Assert.Equal(1, (await append.WaitAsync(Deadline)).BaseOffset);
        using var result = await reader.WaitAsync(Deadline);
        Assert.False(result.Records.IsEmpty);
        files.OnFlush = null;
    }

    private static Task<FetchResult> Poll(PartitionRig rig, long offset, int minBytes = 1, CancellationToken cancellationToken = default) =>
        rig.Partition.ReadAsync(new FetchRequest(PartitionRig.Name, offset, 1 << 20, Wait, minBytes), cancellationToken).AsTask();

    // The store's own timers exist before; the reader's is one more.
    private static async Task UntilWaiting(PartitionRig rig)
    {
        var since = Stopwatch.GetTimestamp();
        while (rig.Clock.TimerCount <= rig.TimersOfStore)
        {
            Assert.True(Stopwatch.GetElapsedTime(since) < Deadline, "No reader started to wait.");
            await Task.Yield();
        }
    }
}
