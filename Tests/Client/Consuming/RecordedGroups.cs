using OrleansMq.Api;
using OrleansMq.Groups.Assignment;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>A coordinator that records the requests and answers of one classic member, one line a call. Ids and immediate repetitions are
/// left out, so that the transcript is the same each time.</summary>
internal sealed class RecordedGroups(IGroupCoordinator groups) : IGroupCoordinator
{
    private readonly Lock _gate = new();
    private readonly List<string> _lines = [];
    private int _beaten;
    private bool _isAsking;

    /// <summary>The latest generation with a successful heartbeat.</summary>
    public int Beaten
    {
        get
        {
            lock (_gate)
                return _beaten;
        }
    }

    public string Text
    {
        get
        {
            lock (_gate)
                return string.Join('\n', _lines);
        }
    }

    /// <summary>Records a further event of the member.</summary>
    public void Tell(string line)
    {
        lock (_gate)
        {
            if (_lines.Count == 0 || _lines[^1] != line)
                _lines.Add(line);
        }
    }

    public async ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken = default) =>
        request switch
        {
            JoinGroup join => request.Answer(await JoinGroupAsync(join, cancellationToken)),
            SyncGroup sync => request.Answer(await SyncGroupAsync(sync, cancellationToken)),
            Heartbeat heartbeat => request.Answer(await HeartbeatAsync(heartbeat, cancellationToken)),
            LeaveGroup leave => request.Answer(await LeaveGroupAsync(leave, cancellationToken)),
            OffsetCommit commit => request.Answer(await CommitOffsetsAsync(commit, cancellationToken)),
            OffsetFetch fetch => request.Answer(await FetchOffsetsAsync(fetch, cancellationToken)),
            _ => await groups.SendAsync(request, cancellationToken),
        };

    private async ValueTask<JoinGroupResult> JoinGroupAsync(JoinGroup request, CancellationToken cancellationToken)
    {
        var who = request.MemberId.Length > 0 ? "as a member" : "anew";
        _ = ConsumerProtocol.TryDecodeSubscription(request.Protocols[0].Metadata, out var subscription, out _);
        Tell($"joins {who} by {string.Join(", ", request.Protocols.Select(offered => offered.Name))}, reads "
            + $"{string.Join(' ', subscription!.Topics)}, holds {Print(subscription.OwnedPartitions)}");
        var result = await AskAsync(() => groups.JoinGroupAsync(request, cancellationToken));
        Tell(result.Error != ErrorCode.None ? $"    {result.Error}"
            : $"    generation {result.GenerationId} by {result.ProtocolName}, "
            + $"{(result.Leader == result.MemberId ? $"leads {result.Members.Count}" : "follows")}");
        return result;
    }

    private async ValueTask<SyncGroupResult> SyncGroupAsync(SyncGroup request, CancellationToken cancellationToken)
    {
        Tell($"syncs in {request.GenerationId}{(request.Assignments.Count > 0 ? $", assigns to {request.Assignments.Count}" : "")}");
        var result = await AskAsync(() => groups.SyncGroupAsync(request, cancellationToken));
        Tell(result.Error != ErrorCode.None ? $"    {result.Error}"
            : ConsumerProtocol.TryDecodeAssignment(result.Assignment, out var assignment, out _)
            ? $"    is to read {Print(assignment.Partitions)}" : "    nothing that can be read");
        return result;
    }

    private async ValueTask<GroupReply> HeartbeatAsync(Heartbeat request, CancellationToken cancellationToken)
    {
        bool isBeside;
        lock (_gate)
            isBeside = _isAsking;
        var reply = await groups.HeartbeatAsync(request, cancellationToken);
        lock (_gate)
        {
            if (isBeside)
                return reply; // Heartbeats during the wait depend on the clock and are not recorded.
            var line = $"beats in {request.GenerationId}: {reply.Error}";
            if (reply.Error == ErrorCode.None)
                _beaten = Math.Max(_beaten, request.GenerationId); // Commits by the clock run concurrently with everything else.
            else if (!_lines.Contains(line))
                _lines.Add(line);
        }
        return reply;
    }

    private async ValueTask<LeaveGroupResult> LeaveGroupAsync(LeaveGroup request, CancellationToken cancellationToken)
    {
        var result = await groups.LeaveGroupAsync(request, cancellationToken);
        Tell($"leaves: {result.Error}");
        return result;
    }

    private async ValueTask<OffsetCommitResult> CommitOffsetsAsync(OffsetCommit request, CancellationToken cancellationToken)
    {
        var result = await groups.CommitOffsetsAsync(request, cancellationToken);
        var commits = request.Offsets.OrderBy(offset => offset.Partition)
            .Select((offset, at) => $"{offset.Partition}={offset.Offset.Offset} {result.Partitions[at].Error}");
        Tell($"commits in {request.GenerationIdOrMemberEpoch}: {string.Join(' ', commits)}");
        return result;
    }

    private async ValueTask<OffsetFetchResult> FetchOffsetsAsync(OffsetFetch request, CancellationToken cancellationToken)
    {
        var result = await groups.FetchOffsetsAsync(request, cancellationToken);
        var offsets = result.Partitions.OrderBy(fetched => fetched.Partition.Partition)
            .Select(fetched => $"{fetched.Partition.Partition}={fetched.Offset?.Offset.ToString() ?? "none"}");
        Tell($"asks where to read: {string.Join(' ', offsets)}");
        return result;
    }

    private async Task<T> AskAsync<T>(Func<ValueTask<T>> ask)
    {
        lock (_gate)
            _isAsking = true;
        try
        {
            return await ask();
        }
        finally
        {
            lock (_gate)
                _isAsking = false;
        }
    }

    public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default) =>
        groups.FindCoordinatorAsync(groupId, cancellationToken);

    public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken = default) =>
        groups.ListGroupsAsync(cancellationToken);

    public static string Print(IEnumerable<TopicPartition> partitions) =>
        string.Join(' ', partitions.Select(partition => partition.Partition).Order()) is { Length: > 0 } numbers ? numbers : "nothing";
}
