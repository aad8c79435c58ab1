using System.Collections.Immutable;
using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Groups;
using OrleansMq.Groups.Offsets;
using OrleansMq.Replication;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Groups;

public sealed class GroupTopicsTests
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly Guid Old = Guid.CreateVersion7(Start);
    private static readonly Guid New = Guid.CreateVersion7(Start.AddSeconds(1));

    private static ClusterImage With(ClusterImage image, string name, Guid id, int partitions = 2,
        TopicStatus status = TopicStatus.Active) =>
        image.WithTopic(new ImageTopic(name, id, status, 1, ImmutableSortedDictionary<string, string>.Empty,
            [.. Enumerable.Repeat(ImagePartition.Create([1]), partitions)],
            partitions)) with
        { Version = image.Version + 1 };

    private static readonly ClusterImage First = With(ClusterImage.Empty, "t", Old);

    [Fact]
    public void Served_topics_are_found_by_name_and_id()
    {
        var topics = GroupTopics.Of(With(First, "later", New, status: TopicStatus.Creating));
        Assert.Equal(new GroupTopic("t", Old, 2), topics.Find("t"));
        Assert.Equal(new GroupTopic("t", Old, 2), topics.Find(Old));
        Assert.Null(topics.Find("later"));
        Assert.Null(topics.Find(New));
        Assert.Equal(["t"], topics.All.Select(topic => topic.Name));
        Assert.True(topics.IsKnown);
        Assert.False(GroupTopics.Of(ClusterImage.Empty).IsKnown);
    }

    [Fact]
    public void Leader_change_is_ignored_and_every_topic_change_is_counted()
    {
        var before = GroupTopics.Of(First);
        var led = First.WithPartition(new ReplicaKey(Old, 0),
            ImagePartition.Create([1]) with { Leader = 1, LeaderEpoch = 4 }) with { Version = 2 };
        Assert.True(GroupTopics.Of(led).IsSameAs(before));
        Assert.True(GroupTopics.Of(led).IsSameAs(before));
        Assert.False(GroupTopics.Of(With(First, "u", New)).IsSameAs(before));
        Assert.False(GroupTopics.Of(With(First, "t", Old, partitions: 3)).IsSameAs(before));
        Assert.False(GroupTopics.Of(With(First, "t", New)).IsSameAs(before));
        Assert.False(GroupTopics.Of(First.WithoutTopic(Old) with { Version = 2 }).IsSameAs(before));
        Assert.False(before.IsSameAs(GroupTopics.Unknown));
        // The same view, compared with two others in turn.
        var next = GroupTopics.Of(led);
        Assert.False(next.IsSameAs(GroupTopics.Unknown));
        Assert.True(next.IsSameAs(before));
    }

    [Fact]
    public void Topic_name_is_replaced_by_a_newer_topic_and_not_by_a_stale_image()
    {
        Assert.True(GroupTopics.Of(With(First, "t", New)).IsReplaced("t", Old));
        Assert.False(GroupTopics.Of(First).IsReplaced("t", New));
        Assert.False(GroupTopics.Of(First).IsReplaced("t", Old));
        Assert.False(GroupTopics.Of(First).IsReplaced("u", Old));
        // Ids without a creation time.
        Assert.True(GroupTopics.Of(First).IsReplaced("t", Guid.NewGuid()));
    }

    [Fact]
    public void Commit_with_an_empty_id_and_no_name_is_for_an_unknown_id()
    {
        var commit = new OffsetCommit { GroupId = "g", Offsets = [new PartitionOffset(null, 0, new CommittedOffset(34))] };
        var outcome = OffsetDecision.Commit(GroupOffsets.Empty, commit, GroupTopics.Of(First), new GroupOptions(), Start);
        Assert.Equal(ErrorCode.UnknownTopicId, Assert.Single(outcome.Reply.Partitions).Error);
    }

    // A coordinator with an old image knows only the deleted topic; its offsets already belong to the successor.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Commit_for_a_deleted_topic_leaves_the_offsets_of_its_successor(bool byId)
    {
        var offsets = GroupOffsets.Empty.With("t", New, 0, new CommittedOffset(37));
        var commit = new OffsetCommit { GroupId = "g",
            Offsets = [new PartitionOffset(byId ? null : "t", 0, new CommittedOffset(34), byId ? Old : default)] };
        var outcome = OffsetDecision.Commit(offsets, commit, GroupTopics.Of(First), new GroupOptions(), Start);
        Assert.Equal(ErrorCode.UnknownTopicId, Assert.Single(outcome.Reply.Partitions).Error);
        Assert.Same(offsets, outcome.Next);

        // In the reverse case the offsets of the old topic are void.
        var late = OffsetDecision.Commit(GroupOffsets.Empty.With("t", Old, 1, new CommittedOffset(9)),
            commit with { Offsets = [new PartitionOffset("t", 0, new CommittedOffset(1))] },
            GroupTopics.Of(With(First, "t", New)), new GroupOptions(), Start);
        Assert.Equal((New, 1), (late.Next.Topics["t"].TopicId, late.Next.Topics["t"].Partitions.Count));
    }
}
