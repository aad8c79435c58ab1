using OrleansMq.Api;
using OrleansMq.Grains;
using OrleansMq.Grains.Topics;
using OrleansMq.Tests.Cluster.Brokers;

namespace OrleansMq.Tests.Cluster.Catalogue;

/// <summary>Creations that arrive late at a topic's grain, as when a stopping silo forwards them.</summary>
public sealed class LateCreationTests(SiloFixture fixture) : IClassFixture<SiloFixture>
{
    private readonly string _topic = $"late-{Guid.NewGuid():N}";

    [Fact]
    public async Task Creation_that_arrives_after_the_deletion_brings_nothing_back()
    {
        var broker = fixture.Silo.Outside;
        var created = await broker.CreateTopicAsync(new NewTopic(_topic, 2));
        await broker.DeleteTopicAsync(_topic);
        await RefusedAsync(created.TopicId);
        Assert.Null(await fixture.Silo.Client.GetGrain<ITopicGrain>(_topic).FindAsync());
        Assert.DoesNotContain(await broker.ListTopicsAsync(), topic => topic.Name == _topic);
    }

    [Fact]
    public async Task Creation_that_arrives_late_leaves_the_next_topic_of_its_name_alone()
    {
        var broker = fixture.Silo.Outside;
        var first = await broker.CreateTopicAsync(new NewTopic(_topic, 2));
        await broker.DeleteTopicAsync(_topic);
        var next = await broker.CreateTopicAsync(new NewTopic(_topic, 3));
        await RefusedAsync(first.TopicId);
        // That one was completed.
        await RefusedAsync(next.TopicId);
        var found = await fixture.Silo.Client.GetGrain<ITopicGrain>(_topic).FindAsync();
        Assert.Equal(new TopicListing(_topic, next.TopicId, 3), found);
    }

    private async Task RefusedAsync(Guid topicId)
    {
        var late = fixture.Silo.Client.GetGrain<ITopicOwnerGrain>(_topic)
            .CreateAsync(new TopicSpec { TopicId = topicId, Partitions = 1, Configs = [] });
        var refused = await Assert.ThrowsAsync<BrokerException>(() => late);
        Assert.Equal(ErrorCode.LeaderNotAvailable, refused.Code);
        Assert.Contains($"{topicId}", refused.Message, StringComparison.Ordinal);
    }
}
