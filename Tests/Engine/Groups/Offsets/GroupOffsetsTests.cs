using OrleansMq.Api;
using OrleansMq.Groups;
using OrleansMq.Groups.Offsets;

namespace OrleansMq.Tests.Engine.Groups.Offsets;

public sealed class GroupOffsetsTests
{
    private static readonly Guid Old = new(1, 0, 0, new byte[8]);
    private static readonly Guid New = new(2, 0, 0, new byte[8]);
    private static readonly TopicPartition Partition = new("t", 0);

    private static readonly GroupOffsets Committed = GroupOffsets.Empty.With("t", Old, 0, new CommittedOffset(5));

    [Fact]
    public void Offset_of_a_recreated_topic_voids_all_offsets_of_the_old_one()
    {
        var next = Committed.With("t", New, 1, new CommittedOffset(1));
        Assert.Null(next.Find(Partition));
        Assert.Equal(New, next.Topics["t"].TopicId);
    }

    [Fact]
    public void Change_without_effect_returns_the_same_instance()
    {
        Assert.Same(Committed, Committed.Without(new TopicPartition("t", 1)));
        Assert.Same(Committed, Committed.WithoutTopics((_, id) => id == New));
        Assert.Same(Committed, Committed.EndTransaction(1, number: 1, isCommit: true));
        Assert.True(Committed.Without(Partition).IsEmpty);
    }

    [Fact]
    public void Offsets_expire_after_the_commit_and_the_group_becoming_empty()
    {
        var start = new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
        var hour = TimeSpan.FromHours(1);
        var offsets = GroupOffsets.Empty
            .With("t", Old, 0, new CommittedOffset(1, CommitTimestamp: start.ToUnixTimeMilliseconds()))
            .With("t", Old, 1, new CommittedOffset(1, CommitTimestamp: (start + hour / 2).ToUnixTimeMilliseconds()));
        Assert.Same(offsets, OffsetDecision.Expire(offsets, start + hour / 4, hour, start + hour));
        Assert.Equal([1], OffsetDecision.Expire(offsets, start, hour, start + hour).Topics["t"].Partitions.Keys);
        Assert.True(OffsetDecision.Expire(offsets, start, hour, start + hour * 2).IsEmpty);
    }

    [Fact]
    public void Commit_before_topics_are_known_is_refused()
    {
        var commit = new OffsetCommit { GroupId = "g", Offsets = [new PartitionOffset("t", 0, new CommittedOffset(1))] };
        var outcome = OffsetDecision.Commit(Committed, commit, GroupTopics.Unknown, new GroupOptions(), default);
        Assert.Equal(ErrorCode.CoordinatorLoadInProgress, Assert.Single(outcome.Reply.Partitions).Error);
        Assert.Same(Committed, outcome.Next);
    }
}
