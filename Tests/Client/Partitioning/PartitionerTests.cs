using System.Text;
using OrleansMq.Client;
using OrleansMq.Tests.Client.Producing;

namespace OrleansMq.Tests.Client.Partitioning;

public class PartitionerTests : ProducerFixture
{
    [Theory]
    // The values of Kafka's Java client for these keys: murmur2 & 0x7fffffff.
    [InlineData("21", -973932308)]
    [InlineData("foobar", -790332482)]
    [InlineData("a-little-bit-long-string", -985981536)]
    [InlineData("a-little-bit-longer-string", -1486304829)]
    [InlineData("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971)]
    [InlineData("abc", 479470107)]
    public void Keyed_record_goes_to_the_partition_of_Kafkas_default_partitioner(string key, int hash)
    {
        var partitioner = new DefaultPartitioner();

        foreach (var partitions in new[] { 1, 2, 3, 7, 50 })
            Assert.Equal((hash & int.MaxValue) % partitions, partitioner.Choose("t", Encoding.UTF8.GetBytes(key), true, partitions));
    }

    [Fact]
    public void Records_without_key_stick_to_a_partition_until_its_batch_closes()
    {
        var partitioner = new DefaultPartitioner(new Random(1));
        var seen = new HashSet<int>();
        for (var batch = 0; batch < 100; batch++)
        {
            var partition = partitioner.Choose("t", default, false, 5);
            for (var i = 0; i < 10; i++)
                Assert.Equal(partition, partitioner.Choose("t", default, false, 5));
            partitioner.OnBatchClosed("t", partition, 5);
            Assert.NotEqual(partition, partitioner.Choose("t", default, false, 5));
            seen.Add(partition);
        }
        Assert.Equal(5, seen.Count);
    }

    [Fact]
    public void Closing_a_batch_of_another_partition_moves_no_sticky_partition()
    {
        var partitioner = new DefaultPartitioner(new Random(1));
        var partition = partitioner.Choose("t", default, false, 5);

        partitioner.OnBatchClosed("t", (partition + 1) % 5, 5);
        partitioner.OnBatchClosed("other", partition, 5);

        Assert.Equal(partition, partitioner.Choose("t", default, false, 5));
    }

    [Fact]
    public async Task Round_robin_rotates_in_each_topic()
    {
        var partitioner = new RoundRobinPartitioner();
        Broker.SetPartitions(Topic, 3);
        await using var producer = NewProducer(Quick with { Partitioner = partitioner });

        for (var i = 0; i < 9; i++)
            Assert.Equal(i % 3, (await producer.SendAsync(Record(i)).SoonAsync()).TopicPartition.Partition);
        Assert.Equal(0, partitioner.Choose("other", default, false, 3));
    }

    [Fact]
    public async Task Custom_partitioner_decides_unless_the_record_names_a_partition()
    {
        Broker.SetPartitions(Topic, 4);
        await using var producer = NewProducer(Quick with { Partitioner = new Last() });

        Assert.Equal(3, (await producer.SendAsync(Record("a")).SoonAsync()).TopicPartition.Partition);
        Assert.Equal(1, (await producer.SendAsync(Record("a") with { Partition = 1 }).SoonAsync()).TopicPartition.Partition);
    }

    [Fact]
    public async Task Unknown_partition_fails_its_record_and_is_looked_up_again()
    {
        await using var producer = NewProducer();
        await producer.SendAsync(Record(1)).SoonAsync();

        var error = await Assert.ThrowsAsync<ProduceException>(() => producer.SendAsync(Record(2) with { Partition = 2 }).SoonAsync());
        Assert.Equal((ErrorCode.UnknownTopicOrPartition, new TopicPartition(Topic, 2)), (error.Code, error.TopicPartition));
        Assert.Equal(0, producer.Statistics.BufferedBytes);
        await Assert.ThrowsAsync<ProduceException>(() => producer.SendAsync(Record(2) with { Partition = -1 }).SoonAsync());

        Broker.SetPartitions(Topic, 3);
        await Wait.UntilAsync(() => producer.SendAsync(Record(3) with { Partition = 2 }).AsTask()
            .ContinueWith(sent => sent.IsCompletedSuccessfully).Result,
            "the new partition");
    }

    [Fact]
    public async Task Added_partitions_are_found_when_metadata_expires()
    {
        await using var producer = NewProducer(Still with { Partitioner = new Last() });
        await producer.SendAsync(Record(1)).SoonAsync();
        Broker.SetPartitions(Topic, 2);
        Assert.Equal(0, (await producer.SendAsync(Record(2)).SoonAsync()).TopicPartition.Partition);

        Clock.Advance(Still.MetadataMaxAge);

        await Wait.UntilAsync(() => producer.SendAsync(Record(3)).AsTask().Result.TopicPartition.Partition == 1, "the new partition");
    }

    private sealed class Last : IPartitioner
    {
        public int Choose(string topic, ReadOnlySpan<byte> key, bool hasKey, int partitionCount) => partitionCount - 1;
    }
}
