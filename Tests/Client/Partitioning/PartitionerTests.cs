using System.Text;
using OrleansMq.Client;
using OrleansMq.Tests.Client.Producing;

namespace OrleansMq.Tests.Client.Partitioning;

public class PartitionerTests : ProducerFixture
{
    [Theory]
    // What Kafka's Java client computes for these keys: murmur2 & 0x7fffffff.
    [InlineData("21", -973932308)]
    [InlineData("foobar", -790332482)]
    [InlineData("a-little-bit-long-string", -985981536)]
    [InlineData("a-little-bit-longer-string", -1486304829)]
    [InlineData("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971)]
    [InlineData("abc", 479470107)]
    public void A_key_goes_where_Kafkas_default_puts_it(string key, int hash)
    {
        var partitioner = new DefaultPartitioner();

        foreach (var partitions in new[] { 1, 2, 3, 7, 50 })
            Assert.Equal((hash & int.MaxValue) % partitions, partitioner.Choose("t", Encoding.UTF8.GetBytes(key), true, partitions));
    }

    [Fact]
    public void Without_a_key_records_stick_until_a_batch_is_closed_and_then_go_elsewhere()
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
    public void The_batch_of_another_partition_moves_nobody()
    {
        var partitioner = new DefaultPartitioner(new Random(1));
        var partition = partitioner.Choose("t", default, false, 5);

        partitioner.OnBatchClosed("t", (partition + 1) % 5, 5);
        partitioner.OnBatchClosed("other", partition, 5);

        Assert.Equal(partition, partitioner.Choose("t", default, false, 5));
    }

    [Fact]
    public async Task Round_robin_takes_turns_in_each_topic()
    {
        var partitioner = new RoundRobinPartitioner();
        Broker.SetPartitions(Topic, 3);
        await using var producer = NewProducer(Quick with { Partitioner = partitioner });

        for (var i = 0; i < 9; i++)
            Assert.Equal(i % 3, (await producer.SendAsync(Record(i)).SoonAsync()).TopicPartition.Partition);
        Assert.Equal(0, partitioner.Choose("other", default, false, 3));
    }

    [Fact]
    public async Task A_partitioner_of_ones_own_decides_and_a_partition_in_the_record_beats_it()
    {
        Broker.SetPartitions(Topic, 4);
        await using var producer = NewProducer(Quick with { Partitioner = new Last() });

        Assert.Equal(3, (await producer.SendAsync(Record("a")).SoonAsync()).TopicPartition.Partition);
        Assert.Equal(1, (await producer.SendAsync(Record("a") with { Partition = 1 }).SoonAsync()).TopicPartition.Partition);
    }

    [Fact]
    public async Task A_partition_that_is_not_there_fails_its_record_and_is_looked_for_again()
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
    public async Task Partitions_that_are_added_are_noticed_when_what_is_known_is_old()
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
