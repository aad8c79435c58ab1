using OrleansMq.Api;
using OrleansMq.Grains;
using OrleansMq.Tests.Cluster.Brokers;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>Changes that arrive late at a topic's grain, when another topic has the name.</summary>
public sealed class LateChangeTests(SiloFixture fixture) : IClassFixture<SiloFixture>
{
    private readonly string _topic = $"late-{Guid.NewGuid():N}";

    [Fact]
    public async Task Change_for_a_deleted_topic_leaves_the_next_topic_of_its_name_alone()
    {
        var broker = fixture.Silo.Outside;
        var first = await broker.CreateTopicAsync(new NewTopic(_topic, 1));
        await broker.DeleteTopicAsync(_topic);
        var next = await broker.CreateTopicAsync(new NewTopic(_topic, 1));
        var grain = fixture.Silo.Client.GetGrain<ITopicGrain>(_topic);
        var configs = new Dictionary<string, string?> { ["retention.ms"] = "123456" };
        foreach (var isAlter in new[] { true, false })
        {
            var refused = await Assert.ThrowsAsync<BrokerException>(() => isAlter ? grain.AlterAsync(configs, first.TopicId)
                : grain.AddPartitionsAsync(3, first.TopicId));
            Assert.Equal(ErrorCode.UnknownTopicOrPartition, refused.Code);
            Assert.Contains($"{first.TopicId}", refused.Message, StringComparison.Ordinal);
        }
        Assert.Equal(new TopicListing(_topic, next.TopicId, 1), await grain.FindAsync());
        Assert.Equal("123456", ValueOf(await grain.AlterAsync(configs, next.TopicId)));
        // As callers that name no id.
        Assert.Equal(2, (await grain.AddPartitionsAsync(2)).Partitions.Count);
    }

    private static string? ValueOf(TopicDescription topic) => topic.Configs.Single(config => config.Name == "retention.ms").Value;
}
