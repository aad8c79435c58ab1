using OrleansMq.Api;
using OrleansMq.Compression;
using OrleansMq.Partitions;
using OrleansMq.Records;
using OrleansMq.Topics;
using static OrleansMq.Tests.Engine.Partitions.DedupeTests;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>What message ids may cost, and what a clock that was wrong does to their window.</summary>
public sealed class DedupeBoundsTests
{
    private static readonly TopicConfig Window = TopicConfig.DefaultFor(FlushPolicy.None) with { DedupeWindowMs = 60_000 };

    [Fact]
    public async Task Claimed_number_of_records_costs_no_memory()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        var batch = Batch(rig.Clock.Now, null, CompressionType.Lz4, "a=1");
        (RecordBatchHeader.Read(batch) with { RecordCount = 38_000_000, LastOffsetDelta = 37_999_999 }).WriteTo(batch);
        RecordBatches.Seal(batch);
        var before = GC.GetAllocatedBytesForCurrentThread();
        var append = rig.Partition.AppendAsync(batch, Acks.All, mayWrite: true);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.Equal(ErrorCode.CorruptMessage, (await append).Error);
        Assert.InRange(allocated, 0, 1 << 20);
    }

    [Theory]
    [InlineData(4, 5)]
    [InlineData(100_000, 10_001)]
    public async Task Batch_with_too_many_ids_is_refused(int maxIds, int ids)
    {
        await using var rig = await PartitionRig.StartAsync(Window with { DedupeMaxIds = maxIds });
        var refused = await Publish(rig, [.. Enumerable.Range(0, ids).Select(static id => $"{id}=x")]);
        Assert.Equal(ErrorCode.MessageTooLarge, refused.Error);
        Assert.Equal($"The batch has more than {Math.Min(maxIds, 10_000)} message ids: allowed are 10000, and no more than the topic's "
            + $"dedupe.max.ids = {maxIds}. Send smaller batches.", refused.Message);
        Assert.Equal(0, rig.Partition.LogEndOffset);
        Assert.Equal(ErrorCode.None, (await Publish(rig, [.. Enumerable.Range(1, ids - 1).Select(static id => $"{id}=x"), "none"])).Error);
    }

    [Fact]
    public async Task Batch_with_ids_has_a_most_of_records()
    {
        await using var rig = await PartitionRig.StartAsync(Window);
        string[] records = [.. Enumerable.Repeat("", 100_000), "a=1"];
        var refused = await Append(rig, Batch(rig.Clock.Now, null, CompressionType.Lz4, records));
        Assert.Equal(ErrorCode.MessageTooLarge, refused.Error);
        Assert.Equal("A batch with message ids has at most 100000 records. Send smaller batches.", refused.Message);
        Assert.Equal(ErrorCode.None, (await Append(rig, Batch(rig.Clock.Now, null, CompressionType.Lz4, records[1..]))).Error);
    }

    [Fact]
    public async Task Ids_of_one_write_count()
    {
        await using var rig = await PartitionRig.StartAsync(Window with { DedupeMaxIds = 4 });
        await Publish(rig, "a=1", "b=2", "c=3");
        var burst = new AppendBurst();
        var appends = new[] { "d", "e", "f" }.Select(id => rig.Partition.AppendAsync(Batch(rig.Clock.Now, $"{id}=x"), Acks.All,
            mayWrite: true, burst: burst).AsTask()).ToArray();
        burst.Run();
        await Task.WhenAll(appends);
        Assert.Equal((4, 2), (rig.Partition.Log!.State.Dedupe.Count, rig.Partition.Dedupe.ForgottenEarly));
        Assert.Equal(["1", "2", "3", "x", "x", "x", "y"], await Values(rig, await Publish(rig, "c=no", "d=no", "a=y")));
    }
}
