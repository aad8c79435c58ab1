using OrleansMq.Api;

namespace OrleansMq.Tests.Simulation.Groups;

// Members that join, leave and change subscriptions, and an operator.
internal sealed partial class GroupSimulation
{
    public const int RequestTimeoutMs = 1_500;

    private readonly List<SimulatedMember> _members = [];
    private int _instances;

    public IReadOnlyList<SimulatedMember> Members => _members;

    private List<SimulatedMember> Live() => [.. _members.Where(m => m.IsAlive)];

    private void StartMember(string? instanceId = null)
    {
        if (Live().Count >= MostMembers)
            return;
        if (instanceId is null && Chance(Scenario.StaticPercent))
            instanceId = $"i{_instances++}";
        var number = _started++;
        var isConsumer = Scenario.Mix == GroupMix.Consumer || (Scenario.Mix == GroupMix.Mixed && Chance(50));
        SimulatedMember member = isConsumer ? new ConsumerMember(this, number, instanceId)
            : new ClassicMember(this, number, instanceId, Choose(Scenario.Protocols));
        Subscribe(member);
        // Dead members are irrelevant.
        _members.RemoveAll(m => !m.IsAlive);
        _members.Add(member);
        if (IsTraced)
        {
            var topics = member.UsesRegex ? Regex : string.Join(' ', member.Names);
            Tell($"{member} STARTS as a {(isConsumer ? "consumer" : "classic")} member of {topics}");
        }
        BeginToSee(member.SeeTopics);
        member.Start();
    }

    private int _started;

    private void Subscribe(SimulatedMember member)
    {
        member.UsesRegex = Chance(Scenario.RegexPercent);
        member.Names.Clear();
        if (member.UsesRegex)
            return;
        // Usually all subscribe to the same topics; a topic may not exist yet.
        foreach (var name in TopicNames)
        {
            if (Chance(80))
                member.Names.Add(name);
        }
        if (member.Names.Count == 0)
            member.Names.Add(TopicNames[0]);
    }

    private void Change()
    {
        if (Quiet)
            return;
        After((Scenario.ChangeEveryMs / 2) + _random.Next(Scenario.ChangeEveryMs), Change);
        var live = Live();
        switch (_random.Next(9))
        {
            case 0 or 1:
                StartMember();
                break;
            case 2 when live.Count > 0:
                var leaving = Choose(live);
                if (IsTraced)
                    Tell($"{leaving} LEAVES");
                leaving.Leave();
                if (leaving.InstanceId is { } instance && Chance(70))
                    After(_random.Next(Scenario.SessionMs), () => StartMember(instance));
                break;
            case 3 when live.Count > 0:
                var member = Choose(live);
                Subscribe(member);
                if (IsTraced)
                    Tell($"{member} SUBSCRIBES to {(member.UsesRegex ? Regex : string.Join(' ', member.Names))}");
                AfterOn(member, 0, member.OnSubscriptionChanged);
                break;
            case 4 or 5:
                ChangeTopics();
                break;
            case 6 when Chance(30):
                // All members leave, and some return; meanwhile an operator may do what a group with members refuses.
                foreach (var one in live)
                    one.Leave();
                After(_random.Next(500, 2_500), ResetOffsets);
                for (var i = 0; i < Scenario.Members; i++)
                    After(_random.Next(2_000, 6_000), () => StartMember());
                break;
            case 7:
                ResetOffsets();
                break;
            case 8:
                Operate(Scenario.DeletesGroup && Chance(50) ? new DeleteGroup(GroupId) : new DescribeGroup(GroupId));
                break;
        }
    }

    /// <summary>An operator resets or deletes offsets, which is allowed while the group has no members.</summary>
    private void ResetOffsets()
    {
        var topic = Choose([.. _topics.Values]);
        TopicIdPartition[] partitions = [.. topic.All.Where(_ => Chance(50))];
        if (partitions.Length == 0)
            return;
        if (Chance(30))
            Operate(new OffsetDelete(GroupId, [.. partitions.Select(p => new TopicPartition(topic.Name, p.Partition))]));
        else
            Operate(new OffsetCommit
            {
                GroupId = GroupId,
                Offsets =
                    [.. partitions.Select(p => new PartitionOffset(topic.Name, p.Partition,
                        new CommittedOffset(_random.Next(10), -1, $"reset#{_resets}"), topic.Id))],
            });
        _resets++;
    }

    private int _resets;

    private void Operate(IGroupRequest request)
    {
        if (FindCoordinator() is { } coordinator)
            After(Delay(), () => RunOn(coordinator, () => WhenServing(coordinator, () => Handle(coordinator, request, _ => { }))));
    }
}
