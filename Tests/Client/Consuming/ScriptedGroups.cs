using OrleansMq.Api;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>A coordinator of one consumer protocol group that assigns what a test says and misbehaves on cue.</summary>
internal sealed class ScriptedGroups : IGroupCoordinator
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Member> _members = [];
    private readonly Dictionary<TopicPartition, CommittedOffset> _offsets = [];
    private readonly List<ConsumerGroupHeartbeat> _heartbeats = [];
    private readonly List<OffsetCommit> _commits = [];
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The error that a heartbeat returns; null for none.</summary>
    public Func<ConsumerGroupHeartbeat, ErrorCode?> OnHeartbeat { get; set; } = _ => null;

    /// <summary>The error that a commit returns for all partitions; null for none.</summary>
    public Func<OffsetCommit, ErrorCode?> OnCommit { get; set; } = _ => null;

    public Func<OffsetFetch, ErrorCode?> OnFetchOffsets { get; set; } = _ => null;

    /// <summary>Delays heartbeats until it completes.</summary>
    public Task Silence { get; set; } = Task.CompletedTask;

    /// <summary>The first assignment of a joining member.</summary>
    public IReadOnlyList<TopicPartitions> FirstAssignment { get; set; } = [];

    public TimeSpan Interval { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>The session timeout that the coordinator reports; zero for none.</summary>
    public TimeSpan Session { get; set; }

    public IReadOnlyList<ConsumerGroupHeartbeat> Heartbeats { get { lock (_gate) return [.. _heartbeats]; } }

    public IReadOnlyList<OffsetCommit> Commits { get { lock (_gate) return [.. _commits]; } }

    public IReadOnlyList<string> Members { get { lock (_gate) return [.. _members.Keys]; } }

    public long? Committed(TopicPartition partition)
    {
        lock (_gate)
            return _offsets.GetValueOrDefault(partition)?.Offset;
    }

    public void SetCommitted(TopicPartition partition, long offset)
    {
        lock (_gate)
            _offsets[partition] = new CommittedOffset(offset);
    }

    /// <summary>Sets the target assignment of a member.</summary>
    public void Assign(string memberId, params IReadOnlyList<TopicPartitions> partitions)
    {
        lock (_gate)
        {
            var member = _members[memberId];
            (member.Target, member.IsTold, member.Epoch) = (partitions, false, member.Epoch + 1);
        }
        Change();
    }

    /// <summary>Forgets the members, like a coordinator whose sessions expired.</summary>
    public void ForgetMembers()
    {
        lock (_gate)
            _members.Clear();
        Change();
    }

    /// <summary>The partitions that the member last reported as owned.</summary>
    public IReadOnlyList<TopicPartitions>? Owned(string memberId)
    {
        lock (_gate)
            return _members.GetValueOrDefault(memberId)?.Owned;
    }

    public async ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken = default) =>
        request.Answer(request switch
        {
            ConsumerGroupHeartbeat heartbeat => await HeartbeatAsync(heartbeat, cancellationToken),
            OffsetCommit commit => Commit(commit),
            OffsetFetch fetch => Fetch(fetch),
            _ => throw new NotSupportedException(),
        });

    private async ValueTask<ConsumerGroupHeartbeatResult> HeartbeatAsync(ConsumerGroupHeartbeat request,
        CancellationToken cancellationToken)
    {
        lock (_gate)
            _heartbeats.Add(request);
        Change();
        await Silence.WaitAsync(cancellationToken);
        if (OnHeartbeat(request) is { } error)
            return ConsumerGroupHeartbeatResult.Failed(error, "as told");
        while (true)
        {
            Task changed;
            lock (_gate)
            {
                if (Answer(request) is { } answer)
                    return answer;
                changed = _changed.Task;
            }
            await changed.WaitAsync(cancellationToken);
        }
    }

    private OffsetCommitResult Commit(OffsetCommit request)
    {
        var error = OnCommit(request);
        lock (_gate)
        {
            _commits.Add(request);
            error ??= request.MemberId.Length == 0 ? ErrorCode.None
                : !_members.TryGetValue(request.MemberId, out var member) ? ErrorCode.UnknownMemberId
                : member.Epoch != request.GenerationIdOrMemberEpoch ? ErrorCode.StaleMemberEpoch
                : ErrorCode.None;
            if (error == ErrorCode.None)
            {
                foreach (var offset in request.Offsets)
                    _offsets[new TopicPartition(offset.Topic!, offset.Partition)] = offset.Offset;
            }
        }
        Change();
        return new OffsetCommitResult(
            [.. request.Offsets.Select(offset => new PartitionError(offset.Topic, offset.Partition, error.Value, offset.TopicId))]);
    }

    private OffsetFetchResult Fetch(OffsetFetch request)
    {
        if (OnFetchOffsets(request) is { } error)
            return new OffsetFetchResult(error, [], "as told");
        lock (_gate)
            return new OffsetFetchResult(ErrorCode.None,
                [.. request.Partitions!.Select(partition => new FetchedOffset(partition, default,
                    _offsets.GetValueOrDefault(partition)))]);
    }

    private ConsumerGroupHeartbeatResult? Answer(ConsumerGroupHeartbeat request)
    {
        if (request.MemberEpoch < 0)
        {
            _members.Remove(request.MemberId);
            return new ConsumerGroupHeartbeatResult { Error = ErrorCode.None, MemberEpoch = request.MemberEpoch };
        }
        if (!_members.TryGetValue(request.MemberId, out var member))
        {
            if (request.MemberEpoch != 0)
                return ConsumerGroupHeartbeatResult.Failed(ErrorCode.UnknownMemberId, "not a member");
            _members[request.MemberId] = member = new Member { Epoch = 1, Target = FirstAssignment };
        }
        else if (request.MemberEpoch == 0)
        {
            member.IsTold = false;
        }
        member.Owned = request.OwnedPartitions ?? member.Owned;
        var isNews = !member.IsTold || request.MemberEpoch != member.Epoch
            || (request.OwnedPartitions is not null && request.MaxWait == TimeSpan.Zero);
        if (!isNews && request.MaxWait > TimeSpan.Zero)
            return null;
        var assignment = member.IsTold ? null : member.Target;
        member.IsTold = true;
        return new ConsumerGroupHeartbeatResult
        {
            Error = ErrorCode.None,
            MemberId = request.MemberId,
            MemberEpoch = member.Epoch,
            HeartbeatInterval = Interval,
            SessionTimeout = Session,
            Assignment = assignment,
        };
    }

    private void Change()
    {
        TaskCompletionSource changed;
        lock (_gate)
        {
            changed = _changed;
            _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
        changed.TrySetResult();
    }

    public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();
    public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    private sealed class Member
    {
        public int Epoch { get; set; }
        public IReadOnlyList<TopicPartitions> Target { get; set; } = [];
        public bool IsTold { get; set; }
        public IReadOnlyList<TopicPartitions>? Owned { get; set; }
    }
}
