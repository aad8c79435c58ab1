using OrleansMq.Gateways.Amqp.Channels;

namespace OrleansMq.Tests.Amqp.Channels;

public sealed class TimedOutTagsTests
{
    [Fact]
    public void Oldest_tags_of_a_client_that_never_settles_are_forgotten()
    {
        var tags = new TimedOutTags();
        for (var tag = 1UL; tag <= TimedOutTags.Most + 5; tag++)
            tags.Add(tag);
        tags.Add(10);
        Assert.Equal(TimedOutTags.Most, tags.Count);
        Assert.False(tags.Contains(5));
        Assert.True(tags.Contains(6) && tags.Contains(TimedOutTags.Most + 5));
        tags.Remove(6);
        tags.Remove(1);
        Assert.Equal((TimedOutTags.Most - 1, false), (tags.Count, tags.Contains(6)));
    }
}
