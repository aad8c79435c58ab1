using OrleansMq.Api;
using OrleansMq.Groups;
using OrleansMq.Groups.Classic;

namespace OrleansMq.Tests.Engine.Groups.Classic;

/// <summary>What members of the classic protocol send is bounded, since each change of their group writes all of it.</summary>
public sealed class MemberSizeTests
{
    private static readonly DateTimeOffset Now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private static JoinGroup Joining(string instance, int metadata, int protocols = 1) => new()
    {
        GroupId = "g",
        GroupInstanceId = instance,
        ProtocolType = "consumer",
        SessionTimeout = TimeSpan.FromSeconds(10),
        Protocols = [.. Enumerable.Range(0, protocols).Select(number => new GroupProtocol($"{number}", new byte[metadata]))],
    };

    private static ClassicDecision<JoinGroupResult> Join(ClassicGroup group, JoinGroup request) =>
        ClassicGroupDecision.Join(group, request, request.GroupInstanceId!, Now, new GroupOptions());

    [Theory]
    [InlineData(MemberBounds.MostMemberBytes - 1, 1, ErrorCode.None)]
    [InlineData(MemberBounds.MostMemberBytes, 1, ErrorCode.InvalidRequest)]
    [InlineData(0, MemberBounds.MostProtocols, ErrorCode.None)]
    [InlineData(0, MemberBounds.MostProtocols + 1, ErrorCode.InvalidRequest)]
    public void Member_has_at_most_so_many_protocols_and_bytes(int metadata, int protocols, ErrorCode expected)
    {
        var joined = Join(ClassicGroup.Create(Now), Joining("a", metadata, protocols));
        Assert.Equal(expected, joined.Reply?.Error ?? ErrorCode.None);
        Assert.Equal(expected == ErrorCode.None ? 1 : 0, joined.Next.State.Members.Count);
    }

    [Fact]
    public void Instance_id_has_a_length_at_most()
    {
        var joined = Join(ClassicGroup.Create(Now), Joining(new string('i', MemberBounds.MostCharacters + 1), 0));
        Assert.Equal(ErrorCode.InvalidRequest, joined.Reply!.Error);
    }

    [Fact]
    public void Members_of_a_group_have_so_many_bytes_at_most_and_the_leaders_assignments_count()
    {
        const int each = (1 << 20) - 1000;
        var group = ClassicGroup.Create(Now);
        for (var number = 0; number < 16; number++)
            group = Join(group, Joining($"i{number}", each)).Next;
        Assert.Equal(16, group.State.Members.Count);
        var more = Join(group, Joining("more", each));
        Assert.Equal(ErrorCode.GroupMaxSizeReached, more.Reply!.Error);
        Assert.Same(group, more.Next);
        // A member that joins again counts once.
        Assert.NotEqual(ErrorCode.GroupMaxSizeReached, Join(group, Joining("i0", each)).Reply?.Error);

        group = Join(ClassicGroup.Create(Now), Joining("leader", 0)).Next;
        var sync = new SyncGroup
        {
            GroupId = "g",
            MemberId = "leader",
            GenerationId = group.State.Generation,
            Assignments = [new("leader", new byte[MemberBounds.MostGroupBytes])],
        };
        Assert.Equal(GroupState.CompletingRebalance, group.State.State);
        var refused = ClassicGroupDecision.Sync(group, sync, Now);
        Assert.Equal(ErrorCode.GroupMaxSizeReached, refused.Reply!.Error);
        Assert.Same(group, refused.Next);
        // What a member sends that has to wait, too.
        refused = ClassicGroupDecision.Sync(group, sync with { Assignments = [new("leader", default), new("leader", default)] }, Now);
        Assert.Equal(ErrorCode.GroupMaxSizeReached, refused.Reply!.Error);
        Assert.Same(group, refused.Next);
        var assigned = ClassicGroupDecision.Sync(group, sync with { Assignments = [new("leader", new byte[1000])] }, Now);
        Assert.Equal(ErrorCode.None, assigned.Reply!.Error);
    }
}
