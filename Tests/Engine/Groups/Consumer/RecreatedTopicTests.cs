using OrleansMq.Api;
using OrleansMq.Groups.Assignment;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Engine.Groups.Consumer;

/// <summary>Commits after a topic was deleted and created again under its name. Members hold partitions of the deleted topic until they
/// have rejoined, and may already read those of the new one, which are assigned to others.</summary>
public sealed class RecreatedTopicTests
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly TestTopics _topics = new();
    private readonly ScriptedCore _core;

    public RecreatedTopicTests()
    {
        _topics.Set("t", 2);
        _topics.Set("u", 1);
        _core = new ScriptedCore(new ScriptedStore(), Start, _topics.Topics);
        Assert.Equal(1, _core.Ask<ConsumerGroupHeartbeatResult>(new ConsumerGroupHeartbeat { GroupId = "g", MemberId = "consumer",
            SubscribedTopicNames = ["u"], RebalanceTimeout = TimeSpan.FromSeconds(30), OwnedPartitions = [] }).MemberEpoch);
        Assert.Equal(2, Join().GenerationId);
        Assert.Equal("t-0 t-1", Sync(2));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Classic_member_commits_for_the_new_topic_only_after_its_assignment_has_changed(bool byId)
    {
        Assert.Equal(ErrorCode.None, Commit("classic", 2, "t", byId));
        Recreate("t", 2);
        Assert.Equal(ErrorCode.RebalanceInProgress, Commit("classic", 2, "t", byId));

        // It claims to own the names, so it has not revoked the partitions, and its epoch stays.
        Assert.Equal(2, Join(new("t", 0), new("t", 1)).GenerationId);
        Assert.Equal(ErrorCode.RebalanceInProgress, Commit("classic", 2, "t", byId));
        Assert.Equal("", Sync(2));

        var epoch = Join().GenerationId;
        Assert.Equal("t-0 t-1", Sync(epoch));
        Assert.Equal(ErrorCode.IllegalGeneration, Commit("classic", 2, "t", byId));
        Assert.Equal(ErrorCode.None, Commit("classic", epoch, "t", byId));
    }

    [Fact]
    public void Commit_by_name_of_a_member_that_was_assigned_the_deleted_topic_is_refused()
    {
        Recreate("u", 1);
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, Commit("consumer", 1, "u", byId: false));
        Assert.Equal(ErrorCode.None, Commit("consumer", 1, "u", byId: true));
    }

    [Fact]
    public void Commit_for_a_partition_that_the_member_never_held_is_accepted()
    {
        Assert.Equal(ErrorCode.None, Commit("classic", 2, "u", byId: false));
        Recreate("u", 1);
        Assert.Equal(ErrorCode.None, Commit("classic", 2, "u", byId: true));
    }

    private void Recreate(string topic, int partitions)
    {
        _topics.Delete(topic);
        _topics.Set(topic, partitions);
        _core.Execute(new TopicsChanged(_topics.Topics));
    }

    private JoinGroupResult Join(params TopicPartition[] owned) => _core.Ask<JoinGroupResult>(new JoinGroup
    {
        GroupId = "g",
        MemberId = "classic",
        SessionTimeout = TimeSpan.FromSeconds(10),
        Protocols = [ClientAssignors.Offer(new CooperativeStickyAssignor(),
            new ConsumerSubscription { Topics = ["t"], OwnedPartitions = owned })],
    });

    private string Sync(int generation)
    {
        var result = _core.Ask<SyncGroupResult>(new SyncGroup { GroupId = "g", MemberId = "classic", GenerationId = generation });
        Assert.Equal(ErrorCode.None, result.Error);
        Assert.True(ConsumerProtocol.TryDecodeAssignment(result.Assignment, out var assignment, out _));
        return string.Join(' ', assignment.Partitions);
    }

    private ErrorCode Commit(string member, int epoch, string topic, bool byId)
    {
        var partition = member == "classic" && topic == "t" ? 1 : 0;
        var result = _core.Ask<OffsetCommitResult>(new OffsetCommit
        {
            GroupId = "g",
            MemberId = member,
            GenerationIdOrMemberEpoch = epoch,
            Offsets = [new PartitionOffset(byId ? null : topic, partition, new CommittedOffset(7),
                byId ? _topics.Topics.Find(topic)!.Value.TopicId : default)],
        });
        return Assert.Single(result.Partitions).Error;
    }
}
