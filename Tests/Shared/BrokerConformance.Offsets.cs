using OrleansMq.Api;

namespace OrleansMq.Tests.Shared;

public abstract partial class BrokerConformance
{
    [Fact]
    public async Task Offsets_are_found_at_both_ends_and_by_time()
    {
        var (broker, topic) = await TopicAsync("find");
        var partition = new TopicPartition(topic, 0);
        async Task<(ErrorCode, long)> FindAsync(OffsetSpec spec)
        {
            var found = await broker.FindOffsetAsync(partition, spec);
            return (found.Error, found.Offset);
        }

        Assert.Equal((ErrorCode.None, 0), await FindAsync(OffsetSpec.Earliest));
        Assert.Equal((ErrorCode.None, 0), await FindAsync(OffsetSpec.Latest));
        Assert.Equal((ErrorCode.None, -1), await FindAsync(OffsetSpec.AtOrAfter(0)));
        Assert.Equal((ErrorCode.None, -1), await FindAsync(OffsetSpec.MaxTimestamp));

        const long start = TestBatches.FirstTimestamp;
        await broker.ProduceAsync(partition, TestBatches.At(start, "a", "b"), Acks.All);
        await broker.ProduceAsync(partition, TestBatches.At(start + 10_000, "c", "d", "e"), Acks.All);
        await broker.ProduceAsync(partition, TestBatches.At(start + 5_000, "late"), Acks.All);
        Assert.Equal((ErrorCode.None, 0), await FindAsync(OffsetSpec.Earliest));
        Assert.Equal((ErrorCode.None, 6), await FindAsync(OffsetSpec.Latest));
        Assert.Equal((ErrorCode.None, 0), await FindAsync(OffsetSpec.AtOrAfter(0)));
        Assert.Equal((ErrorCode.None, 1), await FindAsync(OffsetSpec.AtOrAfter(start + 1)));
        Assert.Equal((ErrorCode.None, 2), await FindAsync(OffsetSpec.AtOrAfter(start + 1_001)));
        Assert.Equal((ErrorCode.None, 3), await FindAsync(OffsetSpec.AtOrAfter(start + 11_000)));
        Assert.Equal((ErrorCode.None, -1), await FindAsync(OffsetSpec.AtOrAfter(start + 12_001)));
        Assert.Equal((ErrorCode.None, 4), await FindAsync(OffsetSpec.MaxTimestamp));
        Assert.Equal(start + 11_000, (await broker.FindOffsetAsync(partition, OffsetSpec.AtOrAfter(start + 10_500))).Timestamp);
    }

    [Fact]
    public async Task Deleted_records_cannot_be_read()
    {
        var (broker, topic) = await TopicAsync("purged");
        var partition = new TopicPartition(topic, 0);
        for (var i = 0; i < 5; i++)
            await ProduceAsync(broker, partition, $"{i}");
        Assert.Equal(3, await broker.DeleteRecordsAsync(partition, 3));
        using (var below = await broker.FetchAsync(new FetchRequest(partition, 2)))
        {
            Assert.Equal(ErrorCode.OffsetOutOfRange, below.Error);
            Assert.Equal(3, below.LogStartOffset);
        }
        Assert.Equal([(3, "3"), (4, "4")], await FetchAsync(broker, partition, 3));
        Assert.Equal(3, (await broker.FindOffsetAsync(partition, OffsetSpec.Earliest)).Offset);
        Assert.Equal(3, (await broker.DescribeTopicAsync(topic)).Partitions[0].LogStartOffset);

        // The log start never goes back, and never beyond the end.
        Assert.Equal(3, await broker.DeleteRecordsAsync(partition, 1));
        await RefusedAsync(ErrorCode.OffsetOutOfRange, () => broker.DeleteRecordsAsync(partition, 6));
        Assert.Equal(5, await broker.DeleteRecordsAsync(partition, -1));
        Assert.Empty(await FetchAsync(broker, partition, 5));
        Assert.Equal(5, await ProduceAsync(broker, partition, "next"));
    }

    [Fact]
    public async Task Records_of_a_compacted_topic_are_not_deleted_by_offset()
    {
        var (broker, topic) = await TopicAsync("compacted", 1, ("cleanup.policy", "compact"));
        await ProduceAsync(broker, new TopicPartition(topic, 0), "a");
        await RefusedAsync(ErrorCode.PolicyViolation, () => broker.DeleteRecordsAsync(new TopicPartition(topic, 0), 1));
    }
}
