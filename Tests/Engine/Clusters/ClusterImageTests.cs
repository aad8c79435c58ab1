using OrleansMq.Clusters;

namespace OrleansMq.Tests.Engine.Clusters;

public class ClusterImageTests
{
    private static readonly ImageTopic Topic = RandomImages.Topic("t", [1]);

    [Fact]
    public void Existing_topic_is_not_gone() =>
        Assert.False(RandomImages.Brokers(3).WithTopic(Topic).IsGone(Topic.TopicId, [1, 2, 3], _ => true));

    [Fact]
    public void Deleted_topic_is_gone_when_every_live_broker_has_confirmed()
    {
        var image = RandomImages.Brokers(3) with { Deleted = [Topic.TopicId] };
        Assert.False(image.IsGone(Topic.TopicId, [1, 2, 3], broker => broker != 2));
        Assert.True(image.IsGone(Topic.TopicId, [1, 3], broker => broker != 2));
    }

    // With one replica all brokers confirm before the deletion is stored, so that nothing is remembered.
    [Fact]
    public void Forgotten_topic_is_gone() =>
        Assert.True(RandomImages.Brokers(3).IsGone(Topic.TopicId, [1, 2, 3], _ => false));
}
