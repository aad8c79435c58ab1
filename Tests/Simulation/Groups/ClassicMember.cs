using OrleansMq.Api;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>A member that joins, syncs and heartbeats; as leader it assigns. A cooperative member keeps reading during a rebalance and
/// gives up only what it must.</summary>
internal sealed class ClassicMember(GroupSimulation simulation, int number, string? instanceId, string[] protocols)
    : SimulatedMember(simulation, number, instanceId)
{
    private enum Phase { Joining, Syncing, Stable }

    private readonly HashSet<TopicPartition> _assigned = [];
    // The last assignment and its generation: a sticky assignor needs them even if the member revokes before joining.
    private TopicPartition[] _had = [];
    private int _hadIn = -1;
    private Phase _phase;
    private bool _isWaiting;
    private bool _isBeating;
    private bool _wantsToJoin;
    private bool _isServed;
    // Assignments name topics; these are the ids that the names had at the assignment.
    private readonly Dictionary<string, Guid> _meant = [];
    private string[] _subscribed = [];
    /// <summary>The leader's input to its assignment: the topics of all members at that time.</summary>
    private SimulatedTopic[] _assignedBy = [];
    private IReadOnlySet<string>? _watched;

    private bool IsCooperative => protocols is ["cooperative-sticky"];

    public override bool IsSettled => _phase == Phase.Stable && !_wantsToJoin;

    protected override void Join()
    {
        _phase = Phase.Joining;
        _wantsToJoin = false;
        if (_isWaiting)
            return;
        _isWaiting = true;
        // A member that is about to lose its partitions commits first, as far as it is heard.
        if (!IsCooperative && Held.Count > 0 && Simulation.Chance(50))
            Commit(SendJoin);
        else
            SendJoin();
    }

    private void SendJoin()
    {
        if (!IsCooperative)
            Unassign();
        _subscribed = UsesRegex ? [.. View.Keys.Where(GroupSimulation.Matches).Order(StringComparer.Ordinal)] : [.. Names];
        var request = new JoinGroup
        {
            GroupId = GroupSimulation.GroupId,
            MemberId = MemberId,
            GroupInstanceId = InstanceId,
            ClientId = ToString(),
            SessionTimeout = TimeSpan.FromMilliseconds(Scenario.SessionMs),
            RebalanceTimeout = TimeSpan.FromMilliseconds(Scenario.RebalanceMs),
            Protocols = [.. protocols.Select(name => ClientAssignment.Offer(name, _subscribed, IsCooperative, _had, _hadIn))],
        };
        Simulation.Call(this, request, Scenario.RebalanceMs + Scenario.SessionMs + 2_000, OnJoined);
    }

    private void OnJoined(object? answer)
    {
        _isWaiting = false;
        var result = answer as JoinGroupResult;
        switch (result?.Error)
        {
            case ErrorCode.None:
                (MemberId, Epoch) = (result.MemberId, result.GenerationId);
                Sync(result);
                return;
            case ErrorCode.MemberIdRequired:
                MemberId = result.MemberId;
                Join();
                return;
            case ErrorCode.UnknownMemberId:
                Forget();
                Join();
                return;
            case ErrorCode.IllegalGeneration:
                LoseAll();
                Join();
                return;
            case ErrorCode.FencedInstanceId:
                Crash();
                return;
            default:
                Retry(result?.Error, Join);
                return;
        }
    }

    private void Sync(JoinGroupResult joined)
    {
        _phase = Phase.Syncing;
        _isWaiting = true;
        _watched = null;
        IReadOnlyList<MemberAssignment> assignments = [];
        // Without a leader the coordinator assigns.
        _isServed = joined.Leader.Length == 0;
        if (joined.Leader == MemberId)
        {
            _watched = ClientAssignment.Topics(joined.ProtocolName!, joined.Members);
            _assignedBy = Watched();
            if (!joined.SkipAssignment)
                assignments = ClientAssignment.Assign(joined.ProtocolName!, joined.Members, _assignedBy);
        }
        var request = new SyncGroup
        {
            GroupId = GroupSimulation.GroupId,
            GenerationId = Epoch,
            MemberId = MemberId,
            GroupInstanceId = InstanceId,
            ProtocolType = "consumer",
            ProtocolName = joined.ProtocolName,
            Assignments = assignments,
        };
        Simulation.Call(this, request, Scenario.RebalanceMs + 2_000, OnSynced);
    }

    private void OnSynced(object? answer)
    {
        _isWaiting = false;
        var result = answer as SyncGroupResult;
        switch (result?.Error)
        {
            case ErrorCode.None:
                _phase = Phase.Stable;
                var assigned = ClientAssignment.Parse(result.Assignment);
                var gives = _assigned.Except(assigned).Any();
                _assigned.Clear();
                _assigned.UnionWith(assigned);
                (_had, _hadIn) = ([.. assigned], Epoch);
                _meant.Clear();
                Assumed.Clear();
                Hold();
                // Cooperative: revoked partitions go to their next owner in one more round.
                if (gives || _wantsToJoin || HasNews())
                    Join();
                return;
            case ErrorCode.IllegalGeneration:
                LoseAll();
                Join();
                return;
            case ErrorCode.UnknownMemberId:
                Forget();
                Join();
                return;
            case ErrorCode.FencedInstanceId:
                Crash();
                return;
            case ErrorCode.RebalanceInProgress:
                Join();
                return;
            default:
                Retry(result?.Error, Join);
                return;
        }
    }

    protected override void Beat()
    {
        if (_phase != Phase.Stable || _isBeating)
            return;
        _isBeating = true;
        var epoch = Epoch;
        Simulation.Call(this, new Heartbeat(GroupSimulation.GroupId, epoch, MemberId, InstanceId), GroupSimulation.RequestTimeoutMs,
            answer =>
        {
            _isBeating = false;
            if (_phase == Phase.Stable && Epoch == epoch)
                OnHeard((answer as GroupReply?)?.Error);
        });
    }

    private void OnHeard(ErrorCode? error)
    {
        switch (error)
        {
            case ErrorCode.None:
                return;
            case ErrorCode.RebalanceInProgress:
                Join();
                return;
            case ErrorCode.IllegalGeneration:
                LoseAll();
                Join();
                return;
            case ErrorCode.UnknownMemberId:
                Forget();
                Join();
                return;
            case ErrorCode.FencedInstanceId:
                Crash();
                return;
            default:
                Retry(error, Beat);
                return;
        }
    }

    protected override void OnCommitAnswered(ErrorCode error, int epoch)
    {
        if (_phase == Phase.Stable && Epoch == epoch && error is ErrorCode.IllegalGeneration or ErrorCode.UnknownMemberId
            or ErrorCode.FencedInstanceId)
            OnHeard(error);
    }

    // Looks for another coordinator if this one is not the coordinator.
    private void Retry(ErrorCode? error, Action again)
    {
        if (error is not null)
            Reconnect();
        Simulation.AfterOn(this, 100 + Simulation.Next(200), again);
    }

    protected override void OnViewChanged()
    {
        // Another topic has the same name now. If a leader assigns, this member follows, as all do; a coordinator may have given its
        // partitions to another member.
        var isReplaced = _meant.Any(m => View.TryGetValue(m.Key, out var topic) && topic.Id != m.Value);
        var follows = isReplaced && !_isServed;
        if (follows)
            _meant.Clear();
        Hold(follows);
        if (_phase == Phase.Stable && ((isReplaced && _isServed) || HasNews()))
            Join();
    }

    public override void OnSubscriptionChanged()
    {
        if (_phase == Phase.Stable)
            Join();
        else
            _wantsToJoin = true;
    }

    public override void Leave()
    {
        if (MemberId.Length > 0 || InstanceId is not null)
            Simulation.Call(this, new LeaveGroup(GroupSimulation.GroupId, [new LeavingMember(MemberId, InstanceId)]),
                GroupSimulation.RequestTimeoutMs, _ => { });
        Crash();
    }

    // The matching topics may have changed; the leader watches the partitions of all members.
    private bool HasNews() =>
        (UsesRegex && !View.Keys.Where(GroupSimulation.Matches).Order(StringComparer.Ordinal).SequenceEqual(_subscribed))
        || (_watched is not null && !Watched().SequenceEqual(_assignedBy));

    private SimulatedTopic[] Watched() => [.. _watched!.Where(View.ContainsKey).Order(StringComparer.Ordinal).Select(name => View[name])];

    private void Hold(bool isAssumed = false)
    {
        var wanted = new HashSet<TopicIdPartition>();
        foreach (var partition in _assigned)
        {
            if (!View.TryGetValue(partition.Topic, out var topic) || partition.Partition >= topic.Partitions)
                continue;
            _meant.TryAdd(partition.Topic, topic.Id);
            if (_meant[partition.Topic] == topic.Id)
                wanted.Add(new TopicIdPartition(topic.Id, partition.Partition));
        }
        GiveUp(Held.Except(wanted).ToList());
        if (isAssumed)
            Assumed.UnionWith(wanted);
        Take(wanted);
    }

    private void Unassign()
    {
        _assigned.Clear();
        GiveUp([.. Held]);
    }

    private void Forget()
    {
        MemberId = "";
        LoseAll();
    }

    protected override void LoseAll()
    {
        _assigned.Clear();
        (_had, _hadIn) = ([], -1);
        base.LoseAll();
    }
}
