namespace OrleansMq.Tests.Shared;

public abstract partial class BrokerConformance
{
    [Fact]
    public async Task Producer_ids_are_unique()
    {
        var broker = await BrokerAsync();
        var identities = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => broker.InitProducerIdAsync().AsTask()));
        Assert.Equal(20, identities.Select(identity => identity.ProducerId).Distinct().Count());
        Assert.All(identities, identity => Assert.Equal(0, identity.ProducerEpoch));
        Assert.All(identities, identity => Assert.True(identity.ProducerId >= 0));
    }

    [Fact]
    public async Task Batch_sent_twice_is_written_once()
    {
        var (broker, topic) = await TopicAsync("twice");
        var partition = new TopicPartition(topic, 0);
        var producer = await broker.InitProducerIdAsync();
        async Task<(ErrorCode, long)> SendAsync(int sequence, params string[] values)
        {
            var produced = await broker.ProduceAsync(partition, TestBatches.From(producer, sequence, values), Acks.All);
            return (produced.Error, produced.BaseOffset);
        }

        Assert.Equal((ErrorCode.None, 0), await SendAsync(0, "a", "b"));
        Assert.Equal((ErrorCode.None, 2), await SendAsync(2, "c"));
        Assert.Equal((ErrorCode.None, 0), await SendAsync(0, "a", "b"));
        Assert.Equal((ErrorCode.None, 2), await SendAsync(2, "c"));
        Assert.Equal((ErrorCode.OutOfOrderSequenceNumber, -1), await SendAsync(4, "e"));
        Assert.Equal((ErrorCode.None, 3), await SendAsync(3, "d"));
        Assert.Equal([(0, "a"), (1, "b"), (2, "c"), (3, "d")], await FetchAsync(broker, partition));
    }

    [Fact]
    public async Task Older_producer_epoch_is_fenced()
    {
        var (broker, topic) = await TopicAsync("fenced");
        var partition = new TopicPartition(topic, 0);
        var producer = await broker.InitProducerIdAsync();
        var newer = producer with { ProducerEpoch = 1 };
        Assert.Equal(ErrorCode.None, (await broker.ProduceAsync(partition, TestBatches.From(newer, 0, "a"), Acks.All)).Error);
        Assert.Equal(ErrorCode.InvalidProducerEpoch,
            (await broker.ProduceAsync(partition, TestBatches.From(producer, 0, "b"), Acks.All)).Error);
        Assert.Equal([(0, "a")], await FetchAsync(broker, partition));
    }
}
