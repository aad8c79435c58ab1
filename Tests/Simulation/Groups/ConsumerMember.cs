using OrleansMq.Api;

namespace OrleansMq.Tests.Simulation.Groups;

/// <summary>A member of the consumer protocol: heartbeats report its partitions and return its target. It revokes first, then
/// takes.</summary>
internal sealed class ConsumerMember : SimulatedMember
{
    private HashSet<TopicIdPartition>? _target;
    private bool _isRevoking;
    private bool _mustSayAll = true;
    private bool _ownedChanged;
    // Counts heartbeats: only the answer to the latest counts.
    private int _beat;
    private bool _isBeating;
    // Counts subscriptions: the answer to an older one is not final.
    private int _subscription;
    private bool _isOut = true;
    private bool _wasMember;

    public ConsumerMember(GroupSimulation simulation, int number, string? instanceId) : base(simulation, number, instanceId) =>
        MemberId = simulation.NewGuid().ToString();

    public override bool IsSettled => !_isOut && !_isRevoking && !_ownedChanged && (_target is null || Held.SetEquals(_target));

    protected override void Join()
    {
        _mustSayAll = true;
        Send(ConsumerGroupHeartbeat.JoinEpoch);
    }

    protected override void Beat()
    {
        if (!_isBeating)
            Send(_isOut ? ConsumerGroupHeartbeat.JoinEpoch : Epoch);
    }

    private void Send(int epoch)
    {
        // A member that abandons the last answer may miss an assignment, so it requests the full state again.
        _mustSayAll |= _isBeating || _isOut;
        _isBeating = true;
        var (beat, subscription) = (++_beat, _subscription);
        var isLongPoll = epoch > 0 && !_ownedChanged && !_mustSayAll && Simulation.Chance(Scenario.LongPollPercent);
        // Either like Kafka's clients, over one connection, or like this project's client.
        var isNumbered = !Scenario.IsOrdered;
        var request = new ConsumerGroupHeartbeat
        {
            GroupId = GroupSimulation.GroupId,
            MemberId = MemberId,
            MemberEpoch = epoch,
            InstanceId = InstanceId,
            // Kafka's clients do not; this project's do with the first join of a process.
            TakesOverInstance = isNumbered && epoch == ConsumerGroupHeartbeat.JoinEpoch && InstanceId is not null && !_wasMember,
            ClientId = ToString(),
            Sequence = isNumbered ? beat : 0,
            MaxWait = isLongPoll ? TimeSpan.FromMilliseconds(Scenario.HeartbeatMs) : TimeSpan.Zero,
            OwnedPartitions = isNumbered || _mustSayAll || _ownedChanged ? Owned() : null,
        };
        if (_mustSayAll)
        {
            request = request with
            {
                RebalanceTimeout = TimeSpan.FromMilliseconds(Scenario.RebalanceMs),
                SubscribedTopicNames = UsesRegex ? [] : [.. Names],
                SubscribedTopicRegex = UsesRegex ? GroupSimulation.Regex : "",
                ServerAssignor = Scenario.Server,
            };
        }
        Simulation.Call(this, request, GroupSimulation.RequestTimeoutMs + (isLongPoll ? Scenario.HeartbeatMs : 0), answer =>
        {
            if (beat == _beat)
                OnAnswered(answer as ConsumerGroupHeartbeatResult, request, subscription);
        });
    }

    private void OnAnswered(ConsumerGroupHeartbeatResult? result, ConsumerGroupHeartbeat request, int subscription)
    {
        _isBeating = false;
        switch (result?.Error)
        {
            case ErrorCode.None:
                OnHeard(result, request, subscription);
                return;
            case ErrorCode.FencedMemberEpoch or ErrorCode.UnknownMemberId:
                LoseAll();
                Join();
                return;
            case ErrorCode.FencedInstanceId:
            case ErrorCode.UnreleasedInstanceId when _wasMember && !Scenario.IsOrdered:
                Crash();
                return;
            default:
                if (result is not null)
                    Reconnect();
                _mustSayAll = true;
                Simulation.AfterOn(this, 100 + Simulation.Next(200), Beat);
                return;
        }
    }

    private void OnHeard(ConsumerGroupHeartbeatResult result, ConsumerGroupHeartbeat request, int subscription)
    {
        (_isOut, _wasMember, _mustSayAll) = (false, true, subscription != _subscription);
        Epoch = result.MemberEpoch;
        if (request.OwnedPartitions is { } said && Same(said))
            _ownedChanged = false;
        if (result.Assignment is { } assignment)
            _target = [.. assignment.SelectMany(t => t.Partitions.Select(p => new TopicIdPartition(t.TopicId, p)))];
        Reconcile();
        if (request.MaxWait > TimeSpan.Zero || _ownedChanged || _mustSayAll)
            Beat();
    }

    private void Reconcile()
    {
        if (_isRevoking || _target is not { } target)
            return;
        if (!Held.IsSubsetOf(target))
        {
            // User code gets time to finish with revoked partitions.
            _isRevoking = true;
            Simulation.AfterOn(this, Simulation.Chance(5) ? Simulation.Next(Scenario.RebalanceMs) : Simulation.Next(300),
                () => Commit(Revoke));
            return;
        }
        if (Held.Count == target.Count)
            return;
        Take(target);
        _ownedChanged = true;
    }

    private void Revoke()
    {
        _isRevoking = false;
        if (_target is not { } target)
            return;
        if (!Held.IsSubsetOf(target))
        {
            GiveUp(Held.Except(target).ToList());
            _ownedChanged = true;
        }
        Reconcile();
        if (!_isOut)
            Send(Epoch);
    }

    protected override void LoseAll()
    {
        (_target, _isOut, _ownedChanged) = (null, true, false);
        base.LoseAll();
    }

    protected override void OnCommitAnswered(ErrorCode error, int epoch)
    {
        // The next heartbeat repeats it.
        if (error is ErrorCode.UnknownMemberId or ErrorCode.FencedMemberEpoch or ErrorCode.StaleMemberEpoch)
            Beat();
    }

    protected override void OnViewChanged()
    {
        // The coordinator watches topics.
    }

    public override void OnSubscriptionChanged()
    {
        _subscription++;
        _mustSayAll = true;
        if (!_isOut)
            Send(Epoch);
    }

    public override void Leave()
    {
        if (!_isOut)
        {
            var epoch = InstanceId is not null && Simulation.Chance(60) ? ConsumerGroupHeartbeat.LeaveForNowEpoch
                : ConsumerGroupHeartbeat.LeaveEpoch;
            Simulation.Call(this, new ConsumerGroupHeartbeat { GroupId = GroupSimulation.GroupId, MemberId = MemberId, MemberEpoch = epoch,
                InstanceId = InstanceId, Sequence = Scenario.IsOrdered ? 0 : ++_beat },
                GroupSimulation.RequestTimeoutMs, _ => { });
        }
        Crash();
    }

    // Includes partitions that it has been assigned and takes without another request.
    private List<TopicPartitions> Owned() =>
        [.. (_isOut || _target is null ? Held : Held.Union(_target)).GroupBy(p => p.TopicId).OrderBy(g => g.Key)
            .Select(g => new TopicPartitions(g.Key, [.. g.Select(p => p.Partition).Order()]))];

    private bool Same(IReadOnlyList<TopicPartitions> said) =>
        Held.SetEquals(said.SelectMany(t => t.Partitions.Select(p => new TopicIdPartition(t.TopicId, p))));
}
