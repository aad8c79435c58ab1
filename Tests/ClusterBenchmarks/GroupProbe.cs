using OrleansMq.Api;
using OrleansMq.Tests.Chaos.Load;

namespace OrleansMq.Tests.ClusterBenchmarks;

/// <summary>A member of a group. It must have kept its membership and generation, and its committed offset must be there.</summary>
internal sealed class GroupProbe : ICoordinatorProbe
{
    private const string Group = "failover";
    private const string Topic = "coordinators";

    private readonly IGroupCoordinator _groups;
    private readonly JoinGroupResult _member;

    private GroupProbe(IGroupCoordinator groups, JoinGroupResult member) => (_groups, _member) = (groups, member);

    /// <summary>Joins the group.</summary>
    public static async Task<ICoordinatorProbe> StartAsync(ClusterClient client)
    {
        await client.Patient.CreateTopicAsync(new NewTopic(Topic, 1));
        var groups = client.Broker.Groups;
        var joined = await groups.JoinGroupAsync(new JoinGroup
        {
            GroupId = Group,
            ClientId = "benchmark",
            ProtocolType = "benchmark",
            Protocols = [new GroupProtocol("none", default)],
            RequireKnownMemberId = false,
            SessionTimeout = TimeSpan.FromMinutes(2),
        });
        Check(joined.Error, "the join");
        Check(
            (await groups.SyncGroupAsync(new SyncGroup { GroupId = Group, GenerationId = joined.GenerationId,
                MemberId = joined.MemberId })).Error, "the synchronization");
        return new GroupProbe(groups, joined);
    }

    public IReadOnlyList<string> Steps { get; } = ["heartbeat"];

    public async Task<int> PrepareAsync(int kill)
    {
        Check((await CommitAsync(kill)).Partitions[0].Error, "a commit");
        return await _groups.FindCoordinatorAsync(Group);
    }

    public async Task<(ErrorCode Error, string? Message)> TryAsync(int step)
    {
        var reply = await _groups.HeartbeatAsync(new Heartbeat(Group, _member.GenerationId, _member.MemberId));
        return (reply.Error, reply.Message);
    }

    public bool IsPassing(ErrorCode error) => error is ErrorCode.CoordinatorNotAvailable or ErrorCode.NotCoordinator
        or ErrorCode.CoordinatorLoadInProgress or ErrorCode.RequestTimedOut;

    public async Task CheckAsync(int kill)
    {
        var fetched = await _groups.FetchOffsetsAsync(new OffsetFetch { GroupId = Group });
        if (fetched.Partitions is not [{ Offset.Offset: var offset }] || offset != kill)
            throw new InvalidOperationException($"The offset {kill} that was committed before the kill is not there: {fetched.Error}.");
    }

    private ValueTask<OffsetCommitResult> CommitAsync(long offset) => _groups.CommitOffsetsAsync(new OffsetCommit
    {
        GroupId = Group,
        GenerationIdOrMemberEpoch = _member.GenerationId,
        MemberId = _member.MemberId,
        Offsets = [new PartitionOffset(Topic, 0, new CommittedOffset(offset))],
    });

    private static void Check(ErrorCode error, string what)
    {
        if (error != ErrorCode.None)
            throw new InvalidOperationException($"{what} was answered by {error}.");
    }
}
