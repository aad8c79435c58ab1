using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;
using OrleansMq.Tests.Engine.Groups.Consumer;

namespace OrleansMq.Tests.Engine.Groups.Coordination;

public sealed class WorkingOffsetsTests
{
    private static readonly DateTimeOffset Now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly CoordinatorClaim Claim = new(1, Guid.NewGuid());

    private readonly TestTopics _topics = new();
    private readonly WorkingOffsets _offsets;
    private int _changes;

    public WorkingOffsetsTests()
    {
        _topics.Set("t", 2);
        _topics.Set("other", 1);
        _offsets = Create(new GroupOptions());
    }

    private WorkingOffsets Create(GroupOptions options) => new(GroupRules.Shipped, options, () => _changes++);

    private ErrorCode Commit(string topic, long offset, int partition = 0) => Assert.Single(_offsets.Commit(new OffsetCommit
    {
        GroupId = "g",
        Offsets = [new PartitionOffset(topic, partition, new CommittedOffset(offset))],
    }, _topics.Topics, Now, check: null).Partitions).Error;

    private List<(string Topic, long? Offset)> All() =>
        [.. _offsets.Fetch(new OffsetFetch { GroupId = "g" }, GroupTopics.Unknown).Partitions
            .Select(fetched => (fetched.Partition.Topic, fetched.Offset?.Offset))];

    [Fact]
    public void Commit_is_a_change_and_a_refused_one_or_a_fetch_is_none()
    {
        Assert.True(_offsets.IsEmpty);
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, Commit("missing", 1));
        Assert.Empty(All());
        Assert.Equal(0, _changes);
        Assert.Equal(ErrorCode.None, Commit("t", 5));
        Assert.Equal([("t", 5L)], All());
        Assert.Equal(1, _changes);
    }

    [Fact]
    public void Delete_removes_offsets_of_topics_without_subscribers()
    {
        Commit("t", 5);
        Commit("other", 6);
        var deleted = _offsets.Delete(new OffsetDelete("g", [new TopicPartition("t", 0), new TopicPartition("other", 0)]), _topics.Topics,
            new HashSet<string> { "t" });
        Assert.Equal([ErrorCode.GroupSubscribedToTopic, ErrorCode.None], deleted.Partitions.Select(partition => partition.Error));
        Assert.Equal([("t", 5L)], All());
        Assert.Equal(3, _changes);
    }

    [Fact]
    public void Offsets_of_a_deleted_topic_are_removed()
    {
        Commit("t", 5);
        Commit("other", 6);
        _topics.Delete("t");
        _offsets.FollowTopics(_topics.Topics);
        Assert.Equal([("other", 6L)], All());
        Assert.Equal(3, _changes);
    }

    [Fact]
    public void Offsets_of_a_topic_with_a_successor_of_its_name_are_removed()
    {
        Commit("t", 5);
        var later = new TestTopics();
        later.Set("other", 1);
        later.Set("t", 1);
        _offsets.FollowTopics(later.Topics);
        Assert.True(_offsets.IsEmpty);
    }

    [Fact]
    public void Offsets_of_a_topic_that_is_missing_but_not_deleted_stay()
    {
        Commit("t", 5);
        _offsets.FollowTopics(_topics.Topics);
        // As in the first image of a controller that could not read the topic's document.
        _offsets.FollowTopics(new TestTopics().Topics);
        _offsets.FollowTopics(GroupTopics.Unknown);
        Assert.Equal([("t", 5L)], All());
        Assert.Equal(1, _changes);
    }

    [Fact]
    public void Offsets_expire_only_with_a_retention()
    {
        Commit("t", 5);
        var stored = _offsets.ToContent(Claim).ToDocument();
        _offsets.Expire(Now, DateTimeOffset.MaxValue);
        Assert.False(_offsets.IsEmpty);

        var retained = Create(new GroupOptions { OffsetsRetention = TimeSpan.FromHours(1) });
        retained.Adopt(stored);
        retained.Expire(Now, Now + TimeSpan.FromMinutes(59));
        Assert.False(retained.IsEmpty);
        Assert.Equal(1, _changes);
        retained.Expire(Now, Now + TimeSpan.FromHours(1));
        Assert.True(retained.IsEmpty);
        Assert.Equal(2, _changes);
    }

    [Fact]
    public void Adopted_or_forgotten_state_is_no_change()
    {
        Commit("t", 5);
        var stored = _offsets.ToContent(Claim).ToDocument();
        _offsets.Forget();
        Assert.True(_offsets.IsEmpty);
        _offsets.Adopt(stored);
        Assert.Equal([("t", 5L)], All());
        _offsets.Adopt(null);
        Assert.True(_offsets.IsEmpty);
        Assert.Equal(1, _changes);
    }
}
