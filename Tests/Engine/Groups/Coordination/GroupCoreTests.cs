using OrleansMq.Api;
using OrleansMq.Clusters;
using OrleansMq.Coordination;
using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Groups.Coordination;

public sealed class GroupCoreTests
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private static readonly GroupTopics Topics =
        GroupTopics.Of((ClusterImage.Empty with { Version = 1 }).WithTopic(new ImageTopic("t", Guid.CreateVersion7(), TopicStatus.Active, 1,
        System.Collections.Immutable.ImmutableSortedDictionary<string, string>.Empty, [ImagePartition.Create([1])], 1)));

    private static readonly JoinGroup Join = new()
    {
        GroupId = "g",
        ClientId = "c",
        RequireKnownMemberId = false,
        SessionTimeout = TimeSpan.FromSeconds(10),
        Protocols = [new GroupProtocol("range", default)],
    };

    private readonly ScriptedStore _store = new();
    private short _lastCore;

    private ScriptedCore Open(bool holdWrites = false) => new(_store, Start, Topics, number: ++_lastCore, holdWrites: holdWrites);

    private static OffsetCommit Commit(long offset, JoinGroupResult? member = null) => new()
    {
        GroupId = "g",
        MemberId = member?.MemberId ?? "",
        GenerationIdOrMemberEpoch = member?.GenerationId ?? -1,
        Offsets = [new PartitionOffset("t", 0, new CommittedOffset(offset))],
    };

    private static ErrorCode ErrorOf(object reply) =>
        reply is OffsetCommitResult commit ? Assert.Single(commit.Partitions).Error : ((GroupReply)reply).Error;

    private static long? Fetch(ScriptedCore core) =>
        Assert.Single(core.Ask<OffsetFetchResult>(new OffsetFetch { GroupId = "g", Partitions = [new TopicPartition("t", 0)] }).Partitions)
        .Offset?.Offset;

    private static JoinGroupResult Stable(ScriptedCore core)
    {
        var joined = core.Ask<JoinGroupResult>(Join);
        core.Ask<SyncGroupResult>(new SyncGroup { GroupId = "g", MemberId = joined.MemberId, GenerationId = joined.GenerationId });
        return joined;
    }

    [Fact]
    public void Reads_of_an_unknown_group_write_nothing()
    {
        var core = Open();
        Assert.Null(Fetch(core));
        Assert.Equal(ErrorCode.GroupIdNotFound, core.Ask<GroupReply>(new DescribeGroup("g")).Error);
        Assert.Equal(ErrorCode.UnknownMemberId, core.Ask<GroupReply>(new Heartbeat("g", 1, "m")).Error);
        Assert.Equal(ErrorCode.GroupIdNotFound, core.Ask<GroupReply>(new DeleteGroup("g")).Error);
        Assert.Equal(ErrorCode.MemberIdRequired, Open().Ask<JoinGroupResult>(Join with { RequireKnownMemberId = true }).Error);
        Assert.Equal(0, _store.Writes);
        Assert.True(core.Core.IsVacant);
    }

    [Fact]
    public void Answers_wait_until_both_documents_are_claimed()
    {
        var core = Open(holdWrites: true);
        var joining = core.Send(Join);
        Assert.Equal(GroupDocuments.Group, Assert.Single(core.HeldWrites).Document);
        core.Finish();
        Assert.False(core.Replies.ContainsKey(joining));
        Assert.Equal(GroupDocuments.Offsets, Assert.Single(core.HeldWrites).Document);
        core.Finish();
        Assert.Equal(ErrorCode.None, ((JoinGroupResult)core.Replies[joining]).Error);
    }

    [Fact]
    public void New_coordinator_serves_only_after_its_claim()
    {
        Open().Ask<OffsetCommitResult>(Commit(5));
        var next = Open(holdWrites: true);
        var fetching = next.Send(new OffsetFetch { GroupId = "g" });
        var describing = next.Send(new DescribeGroup("g"));
        next.Finish();
        Assert.False(next.Replies.ContainsKey(fetching));
        Assert.False(next.Replies.ContainsKey(describing));
        next.Finish();
        Assert.Single(((OffsetFetchResult)next.Replies[fetching]).Partitions);
        Assert.IsType<GroupDescription>(next.Replies[describing]);
    }

    [Fact]
    public void Commit_of_an_older_coordinator_is_refused()
    {
        var older = Open();
        var member = Stable(older);
        Assert.Equal(ErrorCode.None, ErrorOf(older.Ask<OffsetCommitResult>(Commit(1, member))));
        var newer = Open();
        Assert.NotEqual(ErrorCode.None, ErrorOf(older.Ask<OffsetCommitResult>(Commit(2, member))));
        Assert.True(older.Core.IsDeposed);
        Assert.Equal(ErrorCode.NotCoordinator, older.Ask<GroupReply>(new Heartbeat("g", 1, member.MemberId)).Error);
        Assert.Equal(1, Fetch(newer));
        Assert.Equal(ErrorCode.None, ErrorOf(newer.Ask<OffsetCommitResult>(Commit(3, member))));
    }

    [Fact]
    public void One_of_two_concurrent_openers_of_a_new_group_serves_it()
    {
        var one = Open();
        var other = Open();
        var member = Stable(other);
        // The other coordinator has written the offsets only in its claim, which is enough.
        Assert.NotEqual(ErrorCode.None, ErrorOf(one.Ask<OffsetCommitResult>(Commit(9))));
        Assert.True(one.Core.IsDeposed);
        Assert.Null(Fetch(other));
        Assert.Equal(ErrorCode.None, other.Ask<GroupReply>(new Heartbeat("g", 1, member.MemberId)).Error);
    }

    [Theory]
    [InlineData(WriteOutcome.Refused)]
    [InlineData(WriteOutcome.StoredUnheard)]
    public void Claim_that_failed_or_has_unknown_outcome_is_retried(object outcome)
    {
        Open().Ask<OffsetCommitResult>(Commit(5));
        var next = Open(holdWrites: true);
        next.Finish((WriteOutcome)outcome);
        next.HoldWrites = false;
        while (next.HeldWrites.Count > 0)
            next.Finish();
        Assert.Equal(5, Fetch(next));
        Assert.Equal(_store.Read().Group!.Coordinator, _store.Read().Offsets!.Coordinator);
    }

    [Fact]
    public void Commits_during_a_write_share_the_next_write()
    {
        var core = Open();
        var member = Stable(core);
        core.HoldWrites = true;
        var before = _store.Writes;
        var commits = Enumerable.Range(0, 100).Select(offset => core.Send(Commit(offset, member))).ToList();
        core.Finish();
        Assert.Equal([commits[0]], commits.Where(core.Replies.ContainsKey));
        core.Finish();
        Assert.All(commits, commit => Assert.Equal(ErrorCode.None, ErrorOf(core.Replies[commit])));
        Assert.Equal(before + 2, _store.Writes);
        Assert.Empty(core.HeldWrites);
        Assert.Equal(99, Fetch(core));
    }

    [Fact]
    public void Member_whose_answer_waits_for_the_store_is_not_silent()
    {
        var core = Open();
        var member = Stable(core);
        core.HoldWrites = true;
        var committing = core.Send(Commit(1, member));
        core.Advance(TimeSpan.FromMinutes(5));
        core.Finish();
        Assert.Equal(ErrorCode.None, ErrorOf(core.Replies[committing]));
        core.Advance(TimeSpan.FromSeconds(9));
        Assert.Equal(ErrorCode.None, core.Ask<GroupReply>(new Heartbeat("g", 1, member.MemberId)).Error);
    }

    [Fact]
    public void Member_waiting_for_its_generation_is_not_silent_until_its_caller_leaves()
    {
        var core = Open();
        var first = Stable(core);
        var joining = core.Send(Join with { RebalanceTimeout = TimeSpan.FromMinutes(5) });
        void BeatFor(TimeSpan time)
        {
            for (var passed = TimeSpan.Zero; passed < time; passed += TimeSpan.FromSeconds(5))
            {
                core.Advance(TimeSpan.FromSeconds(5));
                Assert.Equal(ErrorCode.RebalanceInProgress, core.Ask<GroupReply>(new Heartbeat("g", 1, first.MemberId)).Error);
            }
        }
        BeatFor(TimeSpan.FromMinutes(1));
        Assert.Equal(2, core.Ask<GroupDescription>(new DescribeGroup("g")).Members.Count);
        core.Execute(new AbandonRequest(joining));
        BeatFor(TimeSpan.FromSeconds(5));
        Assert.Equal(2, core.Ask<GroupDescription>(new DescribeGroup("g")).Members.Count);
        BeatFor(TimeSpan.FromSeconds(5));
        Assert.Equal([first.MemberId], core.Ask<GroupDescription>(new DescribeGroup("g")).Members.Select(member => member.MemberId));
        Assert.False(core.Replies.ContainsKey(joining));
    }

    [Fact]
    public void Group_joined_during_its_delete_exists_afterwards()
    {
        var core = Open();
        core.Ask<OffsetCommitResult>(Commit(5));
        core.HoldWrites = true;
        var deleting = core.Send(new DeleteGroup("g"));
        var joining = core.Send(Join);
        while (core.HeldWrites.Count > 0)
            core.Finish();
        Assert.Equal(ErrorCode.None, ErrorOf(core.Replies[deleting]));
        Assert.Equal(ErrorCode.None, ((JoinGroupResult)core.Replies[joining]).Error);
        core.HoldWrites = false;
        Assert.Null(Fetch(core));
        Assert.Single(_store.Read().Group!.Classic!.Members);
        Assert.Empty(_store.Read().Offsets!.Topics);
    }

    [Fact]
    public void Assigned_member_ids_are_bounded()
    {
        var core = new ScriptedCore(_store, Start, Topics, new GroupOptions { MaxSize = 2 });
        var first = core.Ask<JoinGroupResult>(Join with { RequireKnownMemberId = true });
        core.Ask<JoinGroupResult>(Join with { RequireKnownMemberId = true });
        Assert.Equal(ErrorCode.GroupMaxSizeReached, core.Ask<JoinGroupResult>(Join with { RequireKnownMemberId = true }).Error);
        core.Advance(TimeSpan.FromSeconds(10));
        Assert.True(core.Core.IsVacant);
        Assert.Equal(ErrorCode.UnknownMemberId, core.Ask<JoinGroupResult>(Join with { MemberId = first.MemberId }).Error);
        Assert.Null(core.WakeTime);
    }

    [Fact]
    public void Group_with_offsets_and_without_members_requests_no_wake()
    {
        var core = Open();
        core.Ask<OffsetCommitResult>(Commit(5));
        var member = Stable(core);
        Assert.NotNull(core.WakeTime);
        core.Ask<LeaveGroupResult>(new LeaveGroup("g", [new LeavingMember(member.MemberId)]));
        core.Advance(TimeSpan.FromMinutes(1));
        Assert.Null(core.WakeTime);
    }

    [Fact]
    public void Group_without_members_and_offsets_goes_by_itself()
    {
        var core = Open();
        var member = Stable(core);
        core.Ask<LeaveGroupResult>(new LeaveGroup("g", [new LeavingMember(member.MemberId)]));
        core.Advance(TimeSpan.FromMinutes(9));
        Assert.NotNull(_store.Read().Group);
        core.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(StoredGroup.None, _store.Read());
        Assert.Null(core.WakeTime);
        Assert.True(core.Core.IsVacant);
    }

    [Fact]
    public void Expired_group_whose_deletion_fails_is_deleted_again_after_a_pause()
    {
        var core = Open();
        var member = Stable(core);
        core.Ask<LeaveGroupResult>(new LeaveGroup("g", [new LeavingMember(member.MemberId)]));
        core.HoldWrites = true;
        core.Advance(GroupCore.KeptWithoutOffsets);
        core.HoldWrites = false;
        core.Finish(WriteOutcome.Refused);
        Assert.Equal(core.Now + GroupCore.ExpiryPause, core.WakeTime);
        Assert.NotEqual(StoredGroup.None, _store.Read());

        core.Advance(GroupCore.ExpiryPause);
        Assert.Equal(StoredGroup.None, _store.Read());
    }

    [Theory]
    [InlineData(GroupType.Classic)]
    [InlineData(GroupType.Consumer)]
    public void Members_continue_without_the_store_although_their_commits_fail(GroupType type)
    {
        var (core, beat) = Away(type, WriteOutcome.Refused);
        for (var i = 0; i < 5; i++)
        {
            core.Advance(TimeSpan.FromSeconds(30));
            Assert.Equal(ErrorCode.None, beat());
        }
        Assert.Equal(ErrorCode.CoordinatorLoadInProgress, ErrorOf(core.Ask<OffsetCommitResult>(Commit(7))));
        Assert.Equal(ErrorCode.CoordinatorLoadInProgress, core.Ask<JoinGroupResult>(Join).Error);
        Assert.Equal(ErrorCode.CoordinatorLoadInProgress, core.Ask<ConsumerGroupHeartbeatResult>(JoinConsumers("another")).Error);

        core.IsUnreadable = false;
        core.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(ErrorCode.None, beat());
        Assert.Single(core.Ask<GroupDescription>(new DescribeGroup("g")).Members);
    }

    [Theory]
    [InlineData(GroupType.Classic)]
    [InlineData(GroupType.Consumer)]
    public void Members_continue_where_the_store_can_be_read_and_not_written(GroupType type)
    {
        var (core, beat) = Away(type, WriteOutcome.Refused);
        core.HoldWrites = true;
        core.IsUnreadable = false;
        for (var i = 0; i < 20; i++)
        {
            core.Advance(TimeSpan.FromSeconds(6));
            Assert.Single(core.HeldWrites);
            Assert.Equal(ErrorCode.None, beat());
            core.Finish(WriteOutcome.Refused);
            Assert.Empty(core.HeldWrites);
            Assert.Equal(ErrorCode.None, beat());
        }
        core.Advance(TimeSpan.FromSeconds(6));
        core.Finish();
        Assert.Equal(ErrorCode.None, beat());
        Assert.Empty(core.HeldWrites);
    }

    [Fact]
    public void Coordinator_that_lost_a_write_answers_only_after_it_knows_the_owner()
    {
        var (core, beat) = Away(GroupType.Classic, WriteOutcome.Stored, isContested: true);
        Assert.Equal(ErrorCode.CoordinatorLoadInProgress, beat());
        core.IsUnreadable = false;
        core.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(ErrorCode.NotCoordinator, beat());
    }

    private static ConsumerGroupHeartbeat JoinConsumers(string member) =>
        new() { GroupId = "g", MemberId = member, SubscribedTopicNames = ["t"], RebalanceTimeout = TimeSpan.FromMinutes(1),
            OwnedPartitions = [] };

    /// <summary>Creates a core with one member after a failed commit, while the store is unreadable. Also returns the member's
    /// heartbeat.</summary>
    private (ScriptedCore Core, Func<ErrorCode> Beat) Away(GroupType type, WriteOutcome outcome, bool isContested = false)
    {
        var core = Open();
        Func<ErrorCode> beat;
        OffsetCommit commit;
        if (type == GroupType.Classic)
        {
            var member = Stable(core);
            (commit, beat) =
                (Commit(5, member), () => core.Ask<GroupReply>(new Heartbeat("g", member.GenerationId, member.MemberId)).Error);
        }
        else
        {
            var joined = core.Ask<ConsumerGroupHeartbeatResult>(JoinConsumers("m"));
            commit = Commit(5) with { MemberId = "m", GenerationIdOrMemberEpoch = joined.MemberEpoch };
            beat = () =>
                core.Ask<ConsumerGroupHeartbeatResult>(new ConsumerGroupHeartbeat { GroupId = "g", MemberId = "m",
                    MemberEpoch = joined.MemberEpoch }).Error;
        }
        core.HoldWrites = true;
        core.IsUnreadable = true;
        core.Send(commit);
        if (isContested)
            Open();
        core.HoldWrites = false;
        core.Finish(outcome);
        return (core, beat);
    }
}
