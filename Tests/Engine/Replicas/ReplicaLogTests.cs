using OrleansMq.Records;
using OrleansMq.Replication;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Replicas;

/// <summary>A follower's log writes the batches of one push together.</summary>
public sealed class ReplicaLogTests
{
    [Theory]
    [InlineData(1_000_000)]
    [InlineData(1_000)]
    public async Task Batches_of_one_push_are_stored_as_if_pushed_individually(int segmentBytes)
    {
        // More than one write takes, and with small segments more than one segment.
        const int count = 200;
        var batches = Batches(count);
        await using var together = await PartitionRig.StartAsync(TopicConfig.Default with { SegmentBytes = segmentBytes });
        await using var single = await PartitionRig.StartAsync(TopicConfig.Default with { SegmentBytes = segmentBytes });
        var log = new ReplicaLog(together.Partition);
        var other = new ReplicaLog(single.Partition);
        lock (together.Partition.Log!.AppendLock)
        {
            log.AppendReplicated(batches, 0, 3);
            log.AppendReplicated(batches, 3, count - 3);
            log.SetHighWatermark(count, 0);
        }
        lock (single.Partition.Log!.AppendLock)
        {
            foreach (var batch in batches)
                other.AppendReplicated([batch], 0, 1);
            other.SetHighWatermark(count, 0);
        }
        Assert.Equal(count, log.LogEndOffset);
        Assert.Equal(Enumerable.Range(0, count).Select(number => ((long)number, $"{number}")), await together.ReadAllAsync());
        Assert.Equal(single.FilesOf(".log"), together.FilesOf(".log"));
        Assert.All(single.FilesOf(".log"), file => Assert.Equal(single.LengthOf(file), together.LengthOf(file)));
        await together.RestartAsync();
        Assert.Null(together.Partition.OfflineReason);
        Assert.Equal(count, together.Partition.LogEndOffset);
    }

    private static List<ReplicatedBatch> Batches(int count) => [.. Enumerable.Range(0, count).Select(number =>
        {
        var bytes = PartitionRig.Batch(1, $"{number}");
        RecordBatchHeader.StampBaseOffset(bytes, number);
        RecordBatchHeader.StampLeaderEpoch(bytes, 0);
        return new ReplicatedBatch(number, number + 1, 0, bytes);
    })];
}
