using OrleansMq.Api;
using OrleansMq.Groups;
using OrleansMq.Groups.Consumer;
using OrleansMq.Tests.Engine.Groups.Consumer;

namespace OrleansMq.Tests.Engine.Groups;

/// <summary>What members of consumer groups may add to their group's document.</summary>
public sealed class MemberBoundsTests
{
    private readonly TestTopics _topics = new();

    public MemberBoundsTests() => _topics.Set("t", 1);

    [Theory]
    [InlineData("m", "i", "r", 1_000, 10, ErrorCode.None)]
    [InlineData("m", "i", "r", 1_001, 10, ErrorCode.InvalidRequest)]
    [InlineData("m", "i", "r", 300, 240, ErrorCode.InvalidRequest)]
    [InlineData("m", "i", "r", 1, 250, ErrorCode.InvalidRequest)]
    [InlineData(null, "i", "r", 0, 10, ErrorCode.InvalidRequest)]
    [InlineData("m", null, "r", 0, 10, ErrorCode.InvalidRequest)]
    [InlineData("m", "i", null, 0, 10, ErrorCode.InvalidRequest)]
    public void Heartbeat_beyond_the_bounds_is_refused(string? member, string? instance, string? rack, int names, int length,
        ErrorCode error)
    {
        var tooLong = new string('x', MemberBounds.MostCharacters + 1);
        var decision = ConsumerGroupDecision.Heartbeat(ConsumerGroup.Create(default), new ConsumerGroupHeartbeat
        {
            GroupId = "g",
            MemberId = member ?? tooLong,
            InstanceId = instance ?? tooLong,
            RackId = rack ?? tooLong,
            SubscribedTopicNames = ["t", .. Enumerable.Range(0, names).Select(number => $"{number}".PadLeft(length, 'n'))],
            OwnedPartitions = [],
        }, "", _topics.Topics, default, new GroupOptions());
        Assert.Equal(error, decision.Reply!.Error);
    }
}
