using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Groups;
using OrleansMq.Groups.Coordination;
using OrleansMq.State;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Groups.Coordination;

/// <summary>The coordinator's shell: tasks, timer, store, cancelled callers; and all groups of a broker.</summary>
public sealed class GroupCoordinatorTests : IAsyncLifetime
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private static readonly JoinGroup Join = new()
    {
        GroupId = "g",
        RequireKnownMemberId = false,
        SessionTimeout = TimeSpan.FromSeconds(10),
        Protocols = [new GroupProtocol("range", default)],
    };

    private readonly MemoryFileSystem _files = new();
    private readonly ManualClock _clock = new();
    private LocalBroker _broker = null!;
    private FaultyStore _store = null!;

    public async Task InitializeAsync()
    {
        _broker = await OpenBrokerAsync();
        await _broker.CreateTopicAsync(new NewTopic("t", 4));
        // Separate from the documents of the broker's own groups.
        _store = new FaultyStore(FileStateStore.Open(_files, "/elsewhere"));
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    private Task<LocalBroker> OpenBrokerAsync() =>
        LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = "/data", FileSystem = _files });

    private Task<GroupCoordinator> OpenAsync() =>
        GroupCoordinator.OpenAsync("g", 1, _store, _broker.Metadata, new GroupOptions(), _clock, EngineLog.Silent);

    private GroupCoordinators OpenAll() => new(1, _store, _broker.Metadata, new GroupOptions(), _clock, EngineLog.Silent);

    private static OffsetCommit Commit(long offset, JoinGroupResult? member = null, string group = "g") => new()
    {
        GroupId = group,
        MemberId = member?.MemberId ?? "",
        GenerationIdOrMemberEpoch = member?.GenerationId ?? -1,
        Offsets = [new PartitionOffset("t", 0, new CommittedOffset(offset))],
    };

    private static async Task<ErrorCode> ErrorOfAsync(ValueTask<OffsetCommitResult> commit) =>
        Assert.Single((await commit.AsTask().WaitAsync(Deadline)).Partitions).Error;

    private static async Task<JoinGroupResult> StableAsync(GroupCoordinator group)
    {
        var joined = await group.SendAsync(Join);
        Assert.Equal(ErrorCode.None, joined.Error);
        await group.SendAsync(new SyncGroup { GroupId = "g", MemberId = joined.MemberId, GenerationId = joined.GenerationId });
        return joined;
    }

    [Fact]
    public async Task Silent_member_is_removed_at_session_end_and_an_idle_group_with_offsets_has_no_timer()
    {
        await using var group = await OpenAsync();
        Assert.Equal(0, _clock.TimerCount);
        var member = await StableAsync(group);
        Assert.Equal(ErrorCode.None, await ErrorOfAsync(group.SendAsync(Commit(1, member))));
        Assert.Equal(1, _clock.TimerCount);
        _clock.Advance(TimeSpan.FromSeconds(9));
        Assert.Equal(ErrorCode.None, (await group.SendAsync(new Heartbeat("g", 1, member.MemberId))).Error);
        _clock.Advance(TimeSpan.FromSeconds(9));
        Assert.Single((await group.SendAsync(new DescribeGroup("g"))).Members);
        _clock.Advance(TimeSpan.FromSeconds(1));
        Assert.Empty((await group.SendAsync(new DescribeGroup("g"))).Members);
        Assert.Equal(0, _clock.TimerCount);
    }

    [Fact]
    public async Task Failed_store_is_read_again_and_no_acknowledged_commit_is_lost()
    {
        await using var group = await OpenAsync();
        var member = await StableAsync(group);
        Assert.Equal(ErrorCode.None, await ErrorOfAsync(group.SendAsync(Commit(1, member))));
        _store.Failure = new IOException("The disk is full.");
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await ErrorOfAsync(group.SendAsync(Commit(2, member))));
        _store.Failure = null;
        Assert.Equal(ErrorCode.None, await Wait.WhileLoadingAsync(() => ErrorOfAsync(group.SendAsync(Commit(3, member))),
            static error => error == ErrorCode.CoordinatorLoadInProgress, _clock, Deadline));
        var fetched = await group.SendAsync(new OffsetFetch { GroupId = "g" });
        Assert.Equal(3, Assert.Single(fetched.Partitions).Offset!.Offset);
    }

    [Fact]
    public async Task Concurrent_commits_share_writes()
    {
        await using var group = await OpenAsync();
        Assert.Equal(ErrorCode.None, await ErrorOfAsync(group.SendAsync(Commit(0))));
        var before = _store.Writes;
        var open = new TaskCompletionSource();
        _store.Gate = open.Task;
        var commits = Enumerable.Range(1, 1000).Select(offset => group.SendAsync(Commit(offset)).AsTask()).ToList();
        Assert.All(commits, commit => Assert.False(commit.IsCompleted));
        open.SetResult();
        foreach (var commit in commits)
            Assert.Equal(ErrorCode.None, Assert.Single((await commit.WaitAsync(Deadline)).Partitions).Error);
        Assert.Equal(before + 2, _store.Writes);
        Assert.Equal(1000, Assert.Single((await group.SendAsync(new OffsetFetch { GroupId = "g" })).Partitions).Offset!.Offset);
    }

    [Fact]
    public async Task Waiting_requests_are_answered_when_the_coordinator_closes()
    {
        var group = await OpenAsync();
        await StableAsync(group);
        var joining = group.SendAsync(Join).AsTask();
        Assert.False(joining.IsCompleted);
        var closing = group.DisposeAsync().AsTask();
        Assert.Equal(ErrorCode.NotCoordinator, (await joining.WaitAsync(Deadline)).Error);
        await closing.WaitAsync(Deadline);
        Assert.True(group.IsClosed);
        Assert.Equal(ErrorCode.NotCoordinator, (await group.SendAsync(Join)).Error);
        await group.DisposeAsync();
    }

    [Fact]
    public async Task Close_waits_for_writes_in_flight()
    {
        var group = await OpenAsync();
        var member = await StableAsync(group);
        var writes = _store.Writes;
        var open = new TaskCompletionSource();
        _store.Gate = open.Task;
        var leaving = group.SendAsync(new LeaveGroup("g", [new LeavingMember(member.MemberId)])).AsTask();
        await Wait.UntilAsync(() => _store.Waiting == 1, Deadline);
        var closing = group.DisposeAsync().AsTask();
        Assert.False(closing.IsCompleted);
        open.SetResult();
        await closing.WaitAsync(Deadline);
        Assert.Equal(writes + 1, _store.Writes);
        Assert.Equal(ErrorCode.NotCoordinator, (await leaving.WaitAsync(Deadline)).Error);
    }

    private static async Task<GroupMember> DescribedMemberAsync(GroupCoordinator group) =>
        Assert.Single((await group.SendAsync(new DescribeGroup("g"))).Members);

    [Fact]
    public async Task Cancelled_caller_leaves_its_member_in_the_group()
    {
        await using var group = await OpenAsync();
        var first = await StableAsync(group);
        using var stop = new CancellationTokenSource();
        var joining = group.SendAsync(Join, stop.Token).AsTask();
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => joining.WaitAsync(Deadline));
        Assert.Equal(2, (await group.SendAsync(new DescribeGroup("g"))).Members.Count);
        _clock.Advance(TimeSpan.FromSeconds(5));
        await group.SendAsync(new Heartbeat("g", 1, first.MemberId));
        _clock.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal(first.MemberId, (await DescribedMemberAsync(group)).MemberId);
    }

    [Fact]
    public async Task Opened_coordinator_takes_over_from_its_predecessor()
    {
        await using var older = await OpenAsync();
        var member = await StableAsync(older);
        await using var newer = await OpenAsync();
        Assert.Equal(ErrorCode.None, (await newer.SendAsync(new Heartbeat("g", 1, member.MemberId))).Error);
        Assert.NotEqual(ErrorCode.None, await ErrorOfAsync(older.SendAsync(Commit(9, member))));
        await Wait.UntilAsync(() => older.IsClosed, Deadline);
        Assert.Empty((await newer.SendAsync(new OffsetFetch { GroupId = "g" })).Partitions);
    }

    [Fact]
    public async Task Nonexistent_groups_are_not_kept_open()
    {
        await using var groups = OpenAll();
        for (var number = 0; number < 10; number++)
            await Assert.ThrowsAsync<BrokerException>(async () => await groups.DescribeGroupAsync($"none-{number}"));
        await groups.FetchOffsetsAsync(new OffsetFetch { GroupId = "none" });
        Assert.Equal(0, groups.OpenCount);
        await groups.CommitOffsetsAsync(Commit(1));
        Assert.Equal(1, groups.OpenCount);
        await groups.DeleteGroupAsync("g");
        Assert.Equal(0, groups.OpenCount);
    }

    [Fact]
    public async Task Damaged_group_is_listed_as_unknown_and_refused_and_others_are_served()
    {
        await using (var groups = OpenAll())
        {
            await groups.CommitOffsetsAsync(Commit(1, group: "whole"));
            await groups.CommitOffsetsAsync(Commit(1, group: "broken"));
        }
        var stored = await _store.ReadAsync("group/broken");
        await _store.WriteAsync("group/broken", """{"version":1,"type":"sleeping"}"""u8.ToArray(), stored!.ETag);
        await using var again = OpenAll();
        Assert.Equal(
            [new GroupListing("broken", "", GroupState.Unknown, GroupType.Unknown),
                new GroupListing("whole", "", GroupState.Empty, GroupType.Classic)],
            await again.ListGroupsAsync());
        Assert.Equal(0, again.OpenCount);
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await ErrorOfAsync(again.CommitOffsetsAsync(Commit(2, group: "broken"))));
        Assert.Equal(ErrorCode.None, await ErrorOfAsync(again.CommitOffsetsAsync(Commit(2, group: "whole"))));
        Assert.Equal(1, again.OpenCount);
    }

    [Fact]
    public async Task Share_group_without_members_stays_until_it_is_deleted()
    {
        await using (var groups = OpenAll())
        {
            // It reads a topic that does not exist: it has no cursor to keep.
            var joined = new ShareGroupHeartbeat { GroupId = "g", MemberId = "m", SubscribedTopicNames = ["none"] };
            Assert.Equal(ErrorCode.None, (await groups.SendAsync(joined)).Error);
            Assert.Equal(ErrorCode.None, (await groups.SendAsync(joined with { MemberEpoch = ShareGroupHeartbeat.LeaveEpoch })).Error);
            _clock.Advance(TimeSpan.FromDays(400));
            Assert.Equal(GroupState.Empty, (await groups.DescribeGroupAsync("g")).State);
        }
        await using var again = OpenAll();
        Assert.Equal([new GroupListing("g", "share", GroupState.Empty, GroupType.Share)], await again.ListGroupsAsync());
        await again.DeleteGroupAsync("g");
        Assert.Empty(await again.ListGroupsAsync());
    }

    [Fact]
    public async Task Group_above_the_most_is_refused_until_another_is_deleted()
    {
        await using var groups = new GroupCoordinators(1, _store, _broker.Metadata, new GroupOptions { MaxGroups = 2 }, _clock,
            EngineLog.Silent);
        Assert.Equal(ErrorCode.None, await ErrorOfAsync(groups.CommitOffsetsAsync(Commit(1, group: "offsets"))));
        var share = new ShareGroupHeartbeat { GroupId = "share", MemberId = "m", SubscribedTopicNames = ["t"] };
        Assert.Equal(ErrorCode.None, (await groups.SendAsync(share)).Error);
        var refused = await groups.SendAsync(share with { GroupId = "more" });
        Assert.Equal(ErrorCode.PolicyViolation, refused.Error);
        Assert.Contains("There are 2 groups already", refused.Message, StringComparison.Ordinal);
        await AssertRefusedAsync(() => ErrorOfAsync(groups.CommitOffsetsAsync(Commit(1, group: "more"))));
        await AssertRefusedAsync(async () => (await groups.SendAsync(new AlterShareGroup("more")
        {
            Configs = [new ShareGroupSetting("share.delivery.count.limit", "7")],
        })).Error);
        await AssertRefusedAsync(async () => (await groups.JoinGroupAsync(Join)).Error);
        Assert.Equal(["offsets", "share"], (await groups.ListGroupsAsync()).Select(static group => group.GroupId));
        // Those that are there go on.
        Assert.Equal(ErrorCode.None, await ErrorOfAsync(groups.CommitOffsetsAsync(Commit(2, group: "offsets"))));
        await groups.DeleteGroupAsync("offsets");
        Assert.Equal(ErrorCode.None, (await groups.SendAsync(share with { GroupId = "other" })).Error);

        // The coordinator reads again what it could not store, and asks for a retry meanwhile.
        async Task AssertRefusedAsync(Func<Task<ErrorCode>> ask) => Assert.Equal(ErrorCode.PolicyViolation,
            await Wait.WhileLoadingAsync(ask, static error => error == ErrorCode.CoordinatorLoadInProgress, _clock, Deadline));
    }

    [Fact]
    public async Task Configuration_is_there_before_its_group_and_after_it()
    {
        await using (var groups = OpenAll())
        {
            await AlterAsync(groups, "share.delivery.count.limit", "7");
            Assert.Empty(await groups.ListGroupsAsync());
            await Assert.ThrowsAsync<BrokerException>(async () => await groups.DescribeGroupAsync("g"));
        }
        await using var again = OpenAll();
        Assert.Empty(await again.ListGroupsAsync());
        await AssertConfiguredAsync(ErrorCode.None);
        await BeatAsync(ShareGroupHeartbeat.JoinEpoch);
        await BeatAsync(ShareGroupHeartbeat.LeaveEpoch);
        await again.DeleteGroupAsync("g");
        Assert.Empty(await again.ListGroupsAsync());
        await AssertConfiguredAsync(ErrorCode.None);
        // The id may be that of consumers meanwhile.
        Assert.Equal(ErrorCode.None, await ErrorOfAsync(again.CommitOffsetsAsync(Commit(1))));
        Assert.Equal(GroupType.Classic, Assert.Single(await again.ListGroupsAsync()).Type);
        await AlterAsync(again, "share.record.lock.duration.ms", "2000");
        await AlterAsync(again, "share.record.lock.duration.ms", null);
        await AssertConfiguredAsync(ErrorCode.GroupIdNotFound);
        await again.DeleteGroupAsync("g");
        await AssertConfiguredAsync(ErrorCode.None);
        var joined = await again.JoinGroupAsync(Join);
        await again.LeaveGroupAsync(new LeaveGroup("g", [new LeavingMember(joined.MemberId)]));
        _clock.Advance(GroupCore.KeptWithoutOffsets);
        await Assert.ThrowsAsync<BrokerException>(async () => await again.DescribeGroupAsync("g"));
        await AssertConfiguredAsync(ErrorCode.None);
        await AlterAsync(again, "share.delivery.count.limit", null);
        Assert.Empty(await again.ListConfiguredAsync());
        Assert.Empty(await _store.ListAsync(GroupDocument.StoreType));
        Assert.Empty(await _store.ListAsync(GroupOffsetsDocument.StoreType));
        Assert.Equal(0, again.OpenCount);

        static async Task AlterAsync(GroupCoordinators groups, string name, string? value) => Assert.Equal(default,
            await groups.SendAsync(new AlterShareGroup("g") { Configs = [new ShareGroupSetting(name, value)] }));

        async Task BeatAsync(int epoch) => Assert.Equal(ErrorCode.None, (await again.SendAsync(new ShareGroupHeartbeat
        {
            GroupId = "g",
            MemberId = "m",
            MemberEpoch = epoch,
            SubscribedTopicNames = epoch == 0 ? ["t"] : null,
        })).Error);

        async Task AssertConfiguredAsync(ErrorCode error)
        {
            var found = await again.SendAsync(new FindShareCursors("g"));
            Assert.Equal((error, new ShareGroupSetting("share.delivery.count.limit", "7")), (found.Error, Assert.Single(found.Configs)));
            Assert.Equal(["g"], await again.ListConfiguredAsync());
        }
    }

    [Fact]
    public async Task Offsets_of_a_topic_deleted_while_the_group_was_closed_are_removed()
    {
        await using (var groups = OpenAll())
            Assert.Equal(ErrorCode.None, await ErrorOfAsync(groups.CommitOffsetsAsync(Commit(1))));
        await _broker.DeleteTopicAsync("t");
        await using var again = OpenAll();
        Assert.Empty((await again.FetchOffsetsAsync(new OffsetFetch { GroupId = "g" })).Partitions);
    }

    [Fact]
    public async Task Coordinator_with_a_bug_stops_and_its_group_is_reopened()
    {
        var clock = new StumblingClock();
        await using var groups = new GroupCoordinators(1, _store, _broker.Metadata, new GroupOptions(), clock, EngineLog.Silent);
        Assert.Equal(ErrorCode.None, await ErrorOfAsync(groups.CommitOffsetsAsync(Commit(1))));
        var joined = await groups.JoinGroupAsync(Join);
        clock.Stumbles = true;
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, (await groups.HeartbeatAsync(new Heartbeat("g", 1, joined.MemberId))).Error);
        clock.Stumbles = false;
        Assert.Equal(ErrorCode.None, (await groups.HeartbeatAsync(new Heartbeat("g", 1, joined.MemberId))).Error);
        Assert.Equal(1, groups.OpenCount);
    }

    private sealed class StumblingClock : TimeProvider
    {
        public bool Stumbles { get; set; }

        public override DateTimeOffset GetUtcNow() => Stumbles ? throw new InvalidOperationException("A bug.") : base.GetUtcNow();
    }

    [Fact]
    public async Task Group_that_expires_without_a_request_is_closed()
    {
        await using var groups = OpenAll();
        var joined = await groups.JoinGroupAsync(Join);
        await groups.LeaveGroupAsync(new LeaveGroup("g", [new LeavingMember(joined.MemberId)]));
        Assert.Equal(1, groups.OpenCount);
        _clock.Advance(GroupCore.KeptWithoutOffsets);
        await Wait.UntilAsync(() => groups.OpenCount == 0, Deadline);
        Assert.Empty(await groups.ListGroupsAsync());
    }

    [Fact]
    public async Task Stopping_broker_refuses_requests_and_closes_its_groups()
    {
        var groups = OpenAll();
        await groups.CommitOffsetsAsync(Commit(1));
        await groups.DisposeAsync();
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, await ErrorOfAsync(groups.CommitOffsetsAsync(Commit(2))));
        Assert.Equal(0, groups.OpenCount);
    }

    [Fact]
    public async Task Members_generation_and_offsets_survive_a_restart_without_a_rejoin()
    {
        var joined = await _broker.Groups.JoinGroupAsync(Join);
        await _broker.Groups.SyncGroupAsync(new SyncGroup
        {
            GroupId = "g",
            MemberId = joined.MemberId,
            GenerationId = 1,
            Assignments = [new MemberAssignment(joined.MemberId, new byte[] { 1, 2, 3 })],
        });
        Assert.Equal(ErrorCode.None, await ErrorOfAsync(_broker.Groups.CommitOffsetsAsync(Commit(41, joined))));
        await _broker.DisposeAsync();
        _broker = await OpenBrokerAsync();

        Assert.Equal(ErrorCode.None, (await _broker.Groups.HeartbeatAsync(new Heartbeat("g", 1, joined.MemberId))).Error);
        Assert.Equal(ErrorCode.None, await ErrorOfAsync(_broker.Groups.CommitOffsetsAsync(Commit(42, joined))));
        var group = await _broker.Groups.DescribeGroupAsync("g");
        Assert.Equal((GroupState.Stable, 1), (group.State, group.Epoch));
        Assert.Equal([1, 2, 3], Assert.Single(group.Members).ClassicAssignment.ToArray());
        var fetched = await _broker.Groups.FetchOffsetsAsync(new OffsetFetch { GroupId = "g" });
        Assert.Equal(42, Assert.Single(fetched.Partitions).Offset!.Offset);
    }

    [Fact]
    public async Task Acknowledged_commit_survives_a_power_cut()
    {
        var files = new MemoryFileSystem();
        var options = new BrokerOptions { DataDirectory = "/data", FileSystem = files };
        var broker = await LocalBroker.OpenAsync(options);
        await broker.CreateTopicAsync(new NewTopic("t", 1));
        Assert.Equal(ErrorCode.None, await ErrorOfAsync(broker.Groups.CommitOffsetsAsync(Commit(5))));
        var after = files.PowerCut(new Random(1));
        await broker.DisposeAsync();
        await using var again = await LocalBroker.OpenAsync(options with { FileSystem = after });
        var fetched = await again.Groups.FetchOffsetsAsync(new OffsetFetch { GroupId = "g" });
        Assert.Equal(5, Assert.Single(fetched.Partitions).Offset!.Offset);
    }
}
