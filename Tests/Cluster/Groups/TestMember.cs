using OrleansMq.Api;

namespace OrleansMq.Tests.Cluster.Groups;

/// <summary>A scripted member of a classic group, over any broker.</summary>
internal sealed class TestMember(string groupId, string name)
{
    private const string Protocol = "by-hand";

    public string MemberId { get; private set; } = "";

    public int Generation { get; private set; } = -1;

    /// <summary>The assignment of the last synchronization.</summary>
    public byte[] Assignment { get; private set; } = [];

    public bool IsLeader { get; private set; }

    /// <summary>Joins the next generation and gets its assignment. As leader it assigns every member that member's own name.</summary>
    public async Task JoinAsync(Func<IGroupCoordinator> groups)
    {
        var began = DateTime.UtcNow;
        while (true)
        {
            var joined = await groups().JoinGroupAsync(new JoinGroup
            {
                GroupId = groupId,
                MemberId = MemberId,
                ClientId = name,
                ProtocolType = "test",
                Protocols = [new GroupProtocol(Protocol, System.Text.Encoding.UTF8.GetBytes(name))],
                SessionTimeout = TimeSpan.FromSeconds(60),
                RebalanceTimeout = TimeSpan.FromSeconds(60),
            });
            if (joined.MemberId.Length > 0)
                MemberId = joined.MemberId;
            if (joined.Error == ErrorCode.None && await SyncAsync(groups(), joined))
                return;
            Assert.True(joined.Error is ErrorCode.None || joined.Error.Action() == ErrorAction.Retry, $"{joined.Error}: {joined.Message}");
            Assert.True(DateTime.UtcNow - began < Wait.Deadline, $"'{name}' did not get into the group: {joined.Error}: {joined.Message}");
        }
    }

    public ValueTask<GroupReply> HeartbeatAsync(IGroupCoordinator groups) =>
        groups.HeartbeatAsync(new Heartbeat(groupId, Generation, MemberId));

    public ValueTask<OffsetCommitResult> CommitAsync(IGroupCoordinator groups, string topic, int partition, long offset) =>
        groups.CommitOffsetsAsync(Commit(topic, partition, offset));

    public OffsetCommit Commit(string topic, int partition, long offset) => new()
    {
        GroupId = groupId,
        GenerationIdOrMemberEpoch = Generation,
        MemberId = MemberId,
        Offsets = [new PartitionOffset(topic, partition, new CommittedOffset(offset))],
    };

    private async Task<bool> SyncAsync(IGroupCoordinator groups, JoinGroupResult joined)
    {
        (Generation, IsLeader) = (joined.GenerationId, joined.Leader == MemberId);
        var synced = await groups.SyncGroupAsync(new SyncGroup
        {
            GroupId = groupId,
            GenerationId = Generation,
            MemberId = MemberId,
            Assignments = [.. joined.Members.Select(member => new MemberAssignment(member.MemberId, member.Metadata))],
        });
        Assignment = synced.Assignment.ToArray();
        return synced.Error == ErrorCode.None;
    }
}
