using OrleansMq.Api;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>A coordinator of one classic member that misbehaves on cue. The member leads, unless a test says what it is assigned.</summary>
internal sealed class ScriptedClassicGroups : IGroupCoordinator
{
    private const string MemberId = "member";
    private int _generation;

    /// <summary>Awaited before a join is answered.</summary>
    public Func<Task> OnJoin { get; set; } = () => Task.CompletedTask;

    /// <summary>The answer to a heartbeat.</summary>
    public Func<ErrorCode> OnHeartbeat { get; set; } = () => ErrorCode.None;

    /// <summary>The assignment of another member, which leads; null if the member leads.</summary>
    public IReadOnlyList<TopicPartition>? Assigned { get; set; }

    public async ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken = default) =>
        request.Answer(request switch
        {
            JoinGroup join => await JoinAsync(join, cancellationToken),
            SyncGroup sync => new SyncGroupResult(ErrorCode.None, null, sync.ProtocolType, sync.ProtocolName, Assigned is { } assigned
                ? ConsumerProtocol.Encode(new ConsumerAssignment(assigned)) : sync.Assignments.Single().Assignment),
            Heartbeat => new GroupReply(OnHeartbeat()),
            LeaveGroup => new LeaveGroupResult(ErrorCode.None, []),
            OffsetFetch fetch => new OffsetFetchResult(ErrorCode.None,
                [.. fetch.Partitions!.Select(partition => new FetchedOffset(partition, default, null))]),
            _ => throw new NotSupportedException(),
        });

    private async ValueTask<JoinGroupResult> JoinAsync(JoinGroup request, CancellationToken cancellationToken)
    {
        await OnJoin().WaitAsync(cancellationToken);
        return new JoinGroupResult
        {
            Error = ErrorCode.None,
            GenerationId = Interlocked.Increment(ref _generation),
            ProtocolType = request.ProtocolType,
            ProtocolName = request.Protocols[0].Name,
            MemberId = MemberId,
            Leader = Assigned is null ? MemberId : "another",
            Members = Assigned is null ? [new JoinedMember(MemberId, null, request.Protocols[0].Metadata)] : [],
        };
    }

    public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();
    public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();
}
