using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Hosting;

/// <summary>The standalone host opens the directory of a one-silo cluster, and the reverse.</summary>
public sealed class BothFlavoursTests : IDisposable
{
    private readonly TempDirectory _data = new();

    public void Dispose() => _data.Dispose();

    [Fact]
    public async Task Standalone_host_opens_the_directory_of_a_silo()
    {
        Contents written;
        await using (var silo = await TestSilo.StartAsync(_data.Path))
        {
            await WriteAsync(silo.Outside, "a");
            written = await Contents.OfAsync(silo.Inside);
        }
        await using var standalone = await OpenStandaloneAsync();
        Assert.Equal(written.ToString(), (await Contents.OfAsync(standalone)).ToString());
        await WriteAsync(standalone, "b");
    }

    [Fact]
    public async Task Silo_opens_the_directory_of_a_standalone_host()
    {
        Contents written;
        await using (var standalone = await OpenStandaloneAsync())
        {
            await WriteAsync(standalone, "a");
            written = await Contents.OfAsync(standalone);
        }
        await using var silo = await TestSilo.StartAsync(_data.Path);
        Assert.Equal(written.ToString(), (await Contents.OfAsync(silo.Inside)).ToString());
        Assert.Equal(written.ToString(), (await Contents.OfAsync(silo.Outside)).ToString());
        await WriteAsync(silo.Outside, "b");
    }

    [Fact]
    public async Task Producer_ids_never_repeat_across_flavours()
    {
        var ids = new List<long>();
        for (var round = 0; round < 2; round++)
        {
            await using (var silo = await TestSilo.StartAsync(_data.Path))
                ids.Add((await silo.Outside.InitProducerIdAsync()).ProducerId);
            await using (var standalone = await OpenStandaloneAsync())
                ids.Add((await standalone.InitProducerIdAsync()).ProducerId);
        }
        Assert.Equal(ids.Count, ids.Distinct().Count());
    }

    [Fact]
    public async Task Silo_refuses_a_directory_in_use()
    {
        await using var standalone = await OpenStandaloneAsync();
        var refused = await Assert.ThrowsAsync<DataDirectoryException>(() => TestSilo.StartAsync(_data.Path));
        Assert.Contains(_data.Path, refused.Message, StringComparison.Ordinal);
    }

    private Task<LocalBroker> OpenStandaloneAsync() => LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = _data.Path });

    /// <summary>Writes a topic with configuration, three partitions and records, another that grows, and one that is deleted
    /// again.</summary>
    private static async Task WriteAsync(IBroker broker, string name)
    {
        await broker.CreateTopicAsync(new NewTopic($"{name}.orders", 3, -1, new Dictionary<string, string> { ["retention.ms"] = "-1" }));
        await broker.CreateTopicAsync(new NewTopic($"{name}.grown", 1));
        await broker.CreateTopicAsync(new NewTopic($"{name}.gone", 1));
        await broker.AddPartitionsAsync($"{name}.grown", 2);
        await broker.AlterTopicAsync($"{name}.grown", new Dictionary<string, string?> { ["segment.ms"] = "60000" });
        await broker.DeleteTopicAsync($"{name}.gone");
        for (var i = 0; i < 20; i++)
        {
            var partition = new TopicPartition($"{name}.orders", i % 3);
            Assert.Equal(ErrorCode.None, (await broker.ProduceAsync(partition, TestBatches.Of($"{i}", $"{i}b"), Acks.All)).Error);
        }
        var second = new TopicPartition($"{name}.grown", 1);
        Assert.Equal(ErrorCode.None, (await broker.ProduceAsync(second, TestBatches.Of("x"), Acks.All)).Error);
        Assert.Equal(1, await broker.DeleteRecordsAsync(second, 1));
    }

    /// <summary>All topics and all bytes of a broker, as text.</summary>
    private sealed record Contents(string Text)
    {
        public static async Task<Contents> OfAsync(IBroker broker)
        {
            var text = new System.Text.StringBuilder();
            foreach (var topic in await broker.ListTopicsAsync())
            {
                var description = await broker.DescribeTopicAsync(topic.Name);
                text.AppendLine($"{topic} {string.Join(' ', description.Configs.Where(entry => !entry.IsDefault))}");
                foreach (var partition in description.Partitions)
                {
                    var from = new TopicPartition(topic.Name, partition.Partition);
                    using var fetched = await broker.FetchAsync(new FetchRequest(from, partition.LogStartOffset));
                    Assert.Equal((ErrorCode.None, null), (fetched.Error, partition.OfflineReason));
                    text.AppendLine($"  {from} {partition.LogStartOffset} {partition.HighWatermark} {partition.LogEndOffset}");
                    text.AppendLine($"  {Convert.ToHexString(fetched.Records.Span)}");
                }
            }
            return new Contents(text.ToString());
        }

        public override string ToString() => Text;
    }
}
