using System.Text;
using OrleansMq.Api;

namespace OrleansMq.Tests.Shared;

/// <summary>The contract of <see cref="IGroupCoordinator"/>, in process, over grains and over HTTP; one subclass for each implementation.
/// Tests may share a broker that is not empty, so each test uses its own group and topics. No test waits for a session timeout.</summary>
public abstract partial class GroupConformance
{
    /// <summary>The deadline of every wait.</summary>
    protected static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

    /// <summary>The broker whose groups are under test.</summary>
    protected abstract ValueTask<IBroker> BrokerAsync();

    private static string NewName(string test) => $"{test}-{Guid.NewGuid():N}";

    private static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    private static string Text(ReadOnlyMemory<byte> bytes) => Encoding.UTF8.GetString(bytes.Span);

    private static JoinGroup Join(string group, string memberId = "", string? instanceId = null, string metadata = "") => new()
    {
        GroupId = group,
        MemberId = memberId,
        GroupInstanceId = instanceId,
        ClientId = "tests",
        ClientHost = "localhost",
        Protocols = [new GroupProtocol("range", Bytes(metadata))],
    };

    /// <summary>Requests a member id and joins with it, as clients do. Returns the second answer.</summary>
    private static async Task<JoinGroupResult> JoinAsync(IGroupCoordinator groups, string group, string metadata = "")
    {
        var first = await groups.JoinGroupAsync(Join(group, metadata: metadata));
        Assert.Equal(ErrorCode.MemberIdRequired, first.Error);
        return await groups.JoinGroupAsync(Join(group, first.MemberId, metadata: metadata)).AsTask().WaitAsync(Deadline);
    }

    private static SyncGroup Sync(string group, JoinGroupResult joined, params (string Member, string Assignment)[] assignments) => new()
    {
        GroupId = group,
        GenerationId = joined.GenerationId,
        MemberId = joined.MemberId,
        ProtocolType = joined.ProtocolType,
        ProtocolName = joined.ProtocolName,
        Assignments = [.. assignments.Select(assignment => new MemberAssignment(assignment.Member, Bytes(assignment.Assignment)))],
    };

    private static Heartbeat Beat(string group, JoinGroupResult joined) => new(group, joined.GenerationId, joined.MemberId);

    /// <summary>Joins a single member and makes the group stable.</summary>
    private static async Task<JoinGroupResult> AloneAsync(IGroupCoordinator groups, string group)
    {
        var joined = await JoinAsync(groups, group);
        Assert.Equal(ErrorCode.None, joined.Error);
        var synced = await groups.SyncGroupAsync(Sync(group, joined, (joined.MemberId, "all")));
        Assert.Equal(ErrorCode.None, synced.Error);
        return joined;
    }

    private static async Task<BrokerException> RefusedAsync(ErrorCode expected, Func<ValueTask> call)
    {
        var refused = await Assert.ThrowsAsync<BrokerException>(async () => await call());
        Assert.Equal(expected, refused.Code);
        return refused;
    }

    private async Task<(IGroupCoordinator Groups, string Group)> GroupAsync(string test) => ((await BrokerAsync()).Groups, NewName(test));

    [SkippableFact]
    public async Task Member_joins_leads_gets_its_assignment_and_leaves()
    {
        var (groups, group) = await GroupAsync("alone");
        var joined = await JoinAsync(groups, group, "mine");
        Assert.Equal(ErrorCode.None, joined.Error);
        Assert.Equal((1, "consumer", "range"), (joined.GenerationId, joined.ProtocolType, joined.ProtocolName));
        Assert.Equal(joined.MemberId, joined.Leader);
        var seen = Assert.Single(joined.Members);
        Assert.Equal((joined.MemberId, "mine"), (seen.MemberId, Text(seen.Metadata)));

        var synced = await groups.SyncGroupAsync(Sync(group, joined, (joined.MemberId, "all of it")));
        Assert.Equal((ErrorCode.None, "consumer", "range", "all of it"),
            (synced.Error, synced.ProtocolType, synced.ProtocolName, Text(synced.Assignment)));
        Assert.Equal(ErrorCode.None, (await groups.HeartbeatAsync(Beat(group, joined))).Error);

        var left = await groups.LeaveGroupAsync(new LeaveGroup(group, [new LeavingMember(joined.MemberId)]));
        Assert.Equal((ErrorCode.None, ErrorCode.None), (left.Error, Assert.Single(left.Members).Error));
        Assert.Equal(ErrorCode.UnknownMemberId, (await groups.HeartbeatAsync(Beat(group, joined))).Error);
    }

    [SkippableFact]
    public async Task Second_member_makes_the_first_rejoin_and_both_get_the_leaders_assignment()
    {
        var (groups, group) = await GroupAsync("two");
        var first = await AloneAsync(groups, group);
        var joining = JoinAsync(groups, group, "second");
        await UntilAsync(async () => (await groups.HeartbeatAsync(Beat(group, first))).Error == ErrorCode.RebalanceInProgress);

        var again = await groups.JoinGroupAsync(Join(group, first.MemberId));
        var second = await joining.WaitAsync(Deadline);
        Assert.Equal((ErrorCode.None, 2), (again.Error, again.GenerationId));
        Assert.Equal((ErrorCode.None, 2), (second.Error, second.GenerationId));
        Assert.Equal(first.MemberId, again.Leader);
        Assert.Equal(first.MemberId, second.Leader);
        Assert.Equal(2, again.Members.Count);
        Assert.Empty(second.Members);

        var waiting = groups.SyncGroupAsync(Sync(group, second)).AsTask();
        var led = await groups.SyncGroupAsync(Sync(group, again, (first.MemberId, "left half"), (second.MemberId, "right half")));
        Assert.Equal("left half", Text(led.Assignment));
        Assert.Equal("right half", Text((await waiting.WaitAsync(Deadline)).Assignment));

        Assert.Equal(ErrorCode.IllegalGeneration, (await groups.HeartbeatAsync(Beat(group, first))).Error);
        Assert.Equal(ErrorCode.None, (await groups.HeartbeatAsync(Beat(group, again))).Error);
    }

    [SkippableFact]
    public async Task Invalid_join_is_refused_with_the_reason()
    {
        var (groups, group) = await GroupAsync("refused");
        async Task<ErrorCode> ErrorOf(JoinGroup request) => (await groups.JoinGroupAsync(request)).Error;
        Assert.Equal(ErrorCode.UnknownMemberId, await ErrorOf(Join(group, "nobody")));
        Assert.Equal(ErrorCode.InvalidSessionTimeout, await ErrorOf(Join(group) with { SessionTimeout = TimeSpan.FromMilliseconds(1) }));
        Assert.Equal(ErrorCode.InconsistentGroupProtocol, await ErrorOf(Join(group) with { Protocols = [] }));
        Assert.Equal(ErrorCode.InvalidGroupId, await ErrorOf(Join("")));

        await AloneAsync(groups, group);
        Assert.Equal(ErrorCode.InconsistentGroupProtocol, await ErrorOf(Join(group) with { ProtocolType = "connect" }));
        Assert.Equal(ErrorCode.InconsistentGroupProtocol,
            await ErrorOf(Join(group) with { Protocols = [new GroupProtocol("other", default)] }));
    }

    [SkippableFact]
    public async Task Static_member_that_returns_keeps_its_assignment_and_fences_its_predecessor()
    {
        var (groups, group) = await GroupAsync("static");
        var joined = await groups.JoinGroupAsync(Join(group, instanceId: "one"));
        Assert.Equal((ErrorCode.None, 1), (joined.Error, joined.GenerationId));
        await groups.SyncGroupAsync(Sync(group, joined, (joined.MemberId, "kept")));

        var back = await groups.JoinGroupAsync(Join(group, instanceId: "one"));
        Assert.Equal((ErrorCode.None, 1, true), (back.Error, back.GenerationId, back.SkipAssignment));
        Assert.NotEqual(joined.MemberId, back.MemberId);
        Assert.Equal(back.MemberId, back.Leader);
        Assert.Equal("kept", Text((await groups.SyncGroupAsync(Sync(group, back))).Assignment));

        var fenced = new Heartbeat(group, 1, joined.MemberId, "one");
        Assert.Equal(ErrorCode.FencedInstanceId, (await groups.HeartbeatAsync(fenced)).Error);
        var left = await groups.LeaveGroupAsync(new LeaveGroup(group, [new LeavingMember("", "one")]));
        Assert.Equal(ErrorCode.None, Assert.Single(left.Members).Error);
    }

    [SkippableFact]
    public async Task Cancelled_join_keeps_its_membership()
    {
        var (groups, group) = await GroupAsync("cancelled");
        var first = await AloneAsync(groups, group);
        var id = (await groups.JoinGroupAsync(Join(group))).MemberId;
        using var stop = new CancellationTokenSource();
        var joining = groups.JoinGroupAsync(Join(group, id), stop.Token).AsTask();
        await UntilAsync(async () => (await groups.HeartbeatAsync(Beat(group, first))).Error == ErrorCode.RebalanceInProgress);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => joining);

        var description = await groups.DescribeGroupAsync(group);
        Assert.Equal(GroupState.PreparingRebalance, description.State);
        Assert.Contains(description.Members, member => member.MemberId == id);
    }

    [SkippableFact]
    public async Task Group_is_described_listed_and_deleted_when_empty()
    {
        var (groups, group) = await GroupAsync("described");
        await RefusedAsync(ErrorCode.GroupIdNotFound, async () => await groups.DescribeGroupAsync(group));
        await RefusedAsync(ErrorCode.GroupIdNotFound, () => groups.DeleteGroupAsync(group));
        await RefusedAsync(ErrorCode.InvalidGroupId, () => groups.DeleteGroupAsync(""));
        Assert.True(await groups.FindCoordinatorAsync(group) >= 0);
        var joined = await AloneAsync(groups, group);

        var description = await groups.DescribeGroupAsync(group);
        Assert.Equal((group, GroupType.Classic, GroupState.Stable, "consumer", "range", 1),
            (description.GroupId, description.Type, description.State, description.ProtocolType, description.Protocol, description.Epoch));
        var member = Assert.Single(description.Members);
        Assert.Equal((joined.MemberId, "tests", "all"), (member.MemberId, member.ClientId, Text(member.ClassicAssignment)));
        Assert.Contains(new GroupListing(group, "consumer", GroupState.Stable, GroupType.Classic), await groups.ListGroupsAsync());
        await RefusedAsync(ErrorCode.NonEmptyGroup, () => groups.DeleteGroupAsync(group));

        await groups.LeaveGroupAsync(new LeaveGroup(group, [new LeavingMember(joined.MemberId)]));
        Assert.Equal(GroupState.Empty, (await groups.DescribeGroupAsync(group)).State);
        await groups.DeleteGroupAsync(group);
        await RefusedAsync(ErrorCode.GroupIdNotFound, async () => await groups.DescribeGroupAsync(group));
        Assert.DoesNotContain(await groups.ListGroupsAsync(), listing => listing.GroupId == group);
        Assert.Equal(ErrorCode.None, (await AloneAsync(groups, group)).Error);
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        using var deadline = new CancellationTokenSource(Deadline);
        while (!await condition())
            await Task.Delay(10, deadline.Token);
    }
}
