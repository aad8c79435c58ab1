using OrleansMq.Api;
using OrleansMq.Groups;
using OrleansMq.Groups.Assignment;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;

namespace OrleansMq.Tests.Engine.Groups.Consumer;

/// <summary>A random run of a group of both protocols. Members join, leave, die, stall, leave temporarily, change subscriptions and lose
/// answers, while topics are created, grown and deleted. After every step no two members that can commit read the same partition. At the
/// end, when all members have sent a heartbeat again, every partition is read by one.</summary>
internal sealed class RandomConsumers(int seed)
{
    private static readonly GroupOptions Options = new();

    private readonly Random _random = new(seed);
    private readonly TestTopics _topics = new();
    private readonly List<Client> _clients = [];
    private readonly List<string> _log = [];
    private ConsumerGroup _group = ConsumerGroup.Create(DateTimeOffset.UnixEpoch);
    private ClassicGroup? _classic;
    private DateTimeOffset _now = DateTimeOffset.UnixEpoch;
    private int _lastClient;
    private int _highestEpoch;

    public string Log => string.Join('\n', _log);

    public int Steps { get; private set; }

    public void Run(int steps)
    {
        _topics.Set("t0", 4);
        for (Steps = 0; Steps < steps && _classic is null; Steps++)
        {
            Step();
            Check();
        }
        if (_classic is null)
            Settle();
    }

    private void Step()
    {
        var client = _clients.Count == 0 ? null : _clients[_random.Next(_clients.Count)];
        switch (_random.Next(20))
        {
            case 0 or 1 when _clients.Count < 8:
                Add();
                break;
            case 2:
                _topics.Set($"t{_random.Next(4)}", _random.Next(5, 9));
                Say("topics");
                Apply(ConsumerGroupDecision.OnTopics(_group, _topics.Topics));
                break;
            case 3 when _random.Next(3) == 0:
                var name = $"t{_random.Next(1, 4)}";
                if (_topics.Topics.Find(name) is null)
                    break;
                _topics.Delete(name);
                Say($"delete {name}");
                Apply(ConsumerGroupDecision.OnTopics(_group, _topics.Topics));
                break;
            case 4:
                _now += TimeSpan.FromSeconds(_random.Next(1, 12));
                Say($"time {_now:T}");
                Apply(ConsumerGroupDecision.OnTime(_group, _topics.Topics, _now));
                break;
            case 5 when client is not null && _random.Next(3) == 0:
                Say($"{client.Id} dies"); // The client continues to read: it does not know that it is dead.
                _clients.Remove(client);
                Apply(ConsumerGroupDecision.Remove(_group, client.Id, _topics.Topics, _now));
                break;
            case 6 when client is not null && _random.Next(3) == 0:
                Leave(client);
                break;
            case 7 when client is not null:
                client.Topics = RandomTopics();
                break;
            default:
                if (client is not null)
                    Beat(client, isAnswerLost: _random.Next(6) == 0);
                break;
        }
    }

    private string[] RandomTopics() =>
        [.. Enumerable.Range(0, 4).Where(_ => _random.Next(2) == 0).Select(number => $"t{number}").Append("t0")];

    private void Add()
    {
        var isClassic = _random.Next(4) == 0;
        var instance = _random.Next(3) == 0 && !isClassic ? $"i{_random.Next(3)}" : null;
        var client = new Client($"m{++_lastClient}", instance, isClassic, IsEager: isClassic
            && _random.Next(2) == 0) { Topics = RandomTopics() };
        if (instance is not null && _clients.Exists(other => other.Instance == instance))
            return;
        _clients.Add(client);
        var protocol = !isClassic ? "" : client.IsEager ? " classic eager" : " classic";
        Say($"{client.Id} begins{(instance is null ? "" : $" as {instance}")}{protocol}");
    }

    private void Leave(Client client)
    {
        _clients.Remove(client);
        var epoch = client.Instance is not null && _random.Next(2) == 0 ? -2 : -1;
        Say($"{client.Id} leaves {epoch}");
        client.Reads = PartitionSet.Empty;
        Apply(client.IsClassic
            ? ConsumerGroupDecision.Leave(_group, new LeaveGroup("g", [new LeavingMember(client.Id)]), _topics.Topics, _now).Next
            : ConsumerGroupDecision.Heartbeat(_group, new ConsumerGroupHeartbeat { GroupId = "g", MemberId = client.Id,
                InstanceId = client.Instance, MemberEpoch = epoch }, "", _topics.Topics, _now, Options).Next);
    }

    private void Beat(Client client, bool isAnswerLost)
    {
        if (client.IsClassic)
            BeatClassic(client, isAnswerLost);
        else
            BeatConsumer(client, isAnswerLost);
    }

    private void BeatConsumer(Client client, bool isAnswerLost)
    {
        var isJoin = client.Epoch == 0;
        var sendsAll = isJoin || client.IsUnsure || _random.Next(4) == 0;
        // The member may have revoked its partitions by now. It has taken the assigned ones.
        client.Reads = _random.Next(3) > 0 || client.Epoch == 0 ? client.Told : client.Reads.Union(client.Told);
        var request = new ConsumerGroupHeartbeat
        {
            GroupId = "g",
            MemberId = client.Id,
            InstanceId = client.Instance,
            MemberEpoch = client.Epoch,
            RebalanceTimeout = isJoin ? TimeSpan.FromSeconds(20) : null,
            SubscribedTopicNames = sendsAll || client.Topics != client.ToldTopics ? client.Topics : null,
            OwnedPartitions = isJoin ? [] : sendsAll || client.Epoch > 0 && _random.Next(2) == 0 ? client.Reads.ToTopicPartitions() : null,
        };
        var decision = ConsumerGroupDecision.Heartbeat(_group, request, "", _topics.Topics, _now, Options);
        Say($"{client.Id} beats {request.MemberEpoch}{(request.OwnedPartitions is null ? "" : $" owns {client.Reads.Count}")}: "
            + $"{decision.Reply!.Error} {decision.Reply.MemberEpoch} "
            + $"{decision.Reply.Assignment?.Sum(topic => topic.Partitions.Count)}{(isAnswerLost ? " (lost)" : "")}");
        Apply(decision.Next);
        client.IsUnsure = isAnswerLost;
        if (isAnswerLost)
            return;
        client.ToldTopics = client.Topics;
        switch (decision.Reply.Error)
        {
            case ErrorCode.None:
                client.Epoch = decision.Reply.MemberEpoch;
                client.Told = decision.Reply.Assignment is { } assignment ? PartitionSet.Of(assignment) : client.Told;
                break;
            case ErrorCode.FencedMemberEpoch or ErrorCode.UnknownMemberId or ErrorCode.UnreleasedInstanceId:
                (client.Epoch, client.Told, client.Reads) = (0, PartitionSet.Empty, PartitionSet.Empty);
                break;
            default:
                Assert.Fail($"{decision.Reply.Error} {decision.Reply.Message}");
                break;
        }
    }

    private void BeatClassic(Client client, bool isAnswerLost)
    {
        if (client.Epoch > 0 && !client.MustSync && !client.MustJoin)
        {
            var beat = ConsumerGroupDecision.Heartbeat(_group, new Heartbeat("g", client.Epoch, client.Id), _now);
            Say($"{client.Id} beats {client.Epoch}: {beat.Reply!.Reply.Error}");
            Apply(beat.Next);
            if (beat.Reply.Reply.Error is ErrorCode.IllegalGeneration or ErrorCode.UnknownMemberId)
                (client.Epoch, client.Told, client.Reads) = (0, PartitionSet.Empty, PartitionSet.Empty);
            else if (beat.Reply.Reply.Error == ErrorCode.None && client.Topics == client.ToldTopics)
                return;
        }
        if (!client.MustSync)
        {
            client.MustJoin = true; // Until it is answered: the coordinator would not repeat an assignment whose answer was lost.
            client.Reads = client.IsEager ? PartitionSet.Empty : client.Told;
            Assert.True(ClientAssignors.TryGet("cooperative-sticky", out var assignor));
            var names = client.Reads.Where(partition => _topics.Topics.Find(partition.TopicId) is not null)
                .Select(partition => new TopicPartition(_topics.NameOf(partition.TopicId), partition.Partition)).ToList();
            var joined = ConsumerGroupDecision.Join(_group, new JoinGroup
            {
                GroupId = "g",
                MemberId = client.Id,
                RequireKnownMemberId = false,
                RebalanceTimeout = TimeSpan.FromSeconds(20),
                Protocols = [ClientAssignors.Offer(assignor, assignor.Subscribe(client.Topics, names, client.Epoch))],
            }, "", _topics.Topics, _now, Options);
            Say($"{client.Id} joins: {joined.Reply!.Error} {joined.Reply.GenerationId}{(isAnswerLost ? " (lost)" : "")}");
            if (joined.Reply.Error == ErrorCode.UnknownMemberId)
            {
                (client.Epoch, client.Told, client.Reads) = (0, PartitionSet.Empty, PartitionSet.Empty);
                return;
            }
            Assert.Equal(ErrorCode.None, joined.Reply.Error);
            Apply(joined.Next);
            if (isAnswerLost)
                return;
            (client.Epoch, client.MustSync, client.MustJoin, client.ToldTopics) = (joined.Reply.GenerationId, true, false, client.Topics);
        }
        if (_random.Next(4) == 0)
            return;
        var synced = ConsumerGroupDecision.Sync(_group, new SyncGroup { GroupId = "g", MemberId = client.Id, GenerationId = client.Epoch },
            _now);
        Say($"{client.Id} syncs: {synced.Reply!.Error} {synced.Reply.Assignment.Length}");
        Apply(synced.Next);
        client.MustSync = false;
        if (synced.Reply.Error == ErrorCode.None)
        {
            Assert.True(ConsumerProtocol.TryDecodeAssignment(synced.Reply.Assignment, out var assignment, out _));
            client.Told = PartitionSet.Of(assignment.Partitions.Where(partition => _topics.Topics.Find(partition.Topic) is not null)
                .Select(partition => new TopicIdPartition(_topics.Topics.Find(partition.Topic)!.Value.TopicId, partition.Partition)));
            client.Reads = client.Reads.Union(client.Told);
        }
        else if (synced.Reply.Error != ErrorCode.RebalanceInProgress)
            (client.Epoch, client.Told, client.Reads) = (0, PartitionSet.Empty, PartitionSet.Empty);
    }

    private void Apply(ConsumerGroup next)
    {
        foreach (var (memberId, before) in _group.State.Members)
        {
            if (!next.State.Members.TryGetValue(memberId, out var after))
                continue;
            var isLess = !before.Assigned.Union(before.Revoking).IsSubsetOf(after.Assigned.Union(after.Revoking));
            // A commit sent before the revocation may arrive late.
            Assert.True(!isLess || after.Epoch != before.Epoch, $"{memberId} revoked, but its commits are accepted as before");
        }
        _group = next;
        _classic = GroupMigration.TryDowngrade(next, _now);
    }

    private void Check()
    {
        var state = _group.State;
        Assert.True(state.GroupEpoch >= _highestEpoch, "the group epoch went back");
        _highestEpoch = state.GroupEpoch;
        var holders = new Dictionary<TopicIdPartition, string>();
        foreach (var member in state.Members.Values)
        {
            Assert.True(member.Epoch <= state.TargetEpoch && state.TargetEpoch <= state.GroupEpoch, $"{member.MemberId} is ahead");
            Assert.Equal(member.Status == ConsumerMemberStatus.UnrevokedPartitions, !member.Revoking.IsEmpty);
            foreach (var partition in member.Assigned.Concat(member.Revoking))
                Assert.True(holders.TryAdd(partition, member.MemberId), $"{partition} is held twice");
        }
        foreach (var client in _clients.Where(CanCommit))
        {
            // Partitions that it reads without owning them may be given to another member, so its commits must be refused. A deleted topic
            // has nothing to read.
            Assert.All(client.Reads.Where(partition => _topics.Topics.Find(partition.TopicId) is not null),
                partition => Assert.True(!holders.TryGetValue(partition, out var holder) || holder == client.Id,
                $"{client.Id} reads what {(holders.TryGetValue(partition, out var other) ? other : "")} holds"));
        }
    }

    private bool CanCommit(Client client) => ConsumerGroupDecision.CheckCommit(_group.State,
        new OffsetCommit { GroupId = "g", MemberId = client.Id, GenerationIdOrMemberEpoch = Math.Max(client.Epoch, 0), Offsets = [] })
        .Error == ErrorCode.None;

    /// <summary>Removes the members of clients that are gone, and answers a heartbeat of each other member.</summary>
    private void Settle()
    {
        Say("all are heard of from now on");
        foreach (var gone in _group.State.Members.Keys.Where(id => !_clients.Exists(client => client.Id == id)).ToList())
            Apply(ConsumerGroupDecision.Remove(_group, gone, _topics.Topics, _now));
        for (var round = 0; round < 12 && _classic is null; round++)
        {
            foreach (var client in _clients)
            {
                for (var beat = 0; beat < 4 && _classic is null; beat++)
                    Beat(client, isAnswerLost: false);
                Check();
            }
        }
        if (_classic is not null || _clients.Count == 0)
            return;
        Assert.Equal(GroupState.Stable, _group.State.State);
        foreach (var topic in _topics.Topics.All)
        {
            for (var number = 0; number < topic.Partitions; number++)
            {
                var readers = _clients.Where(client => client.Told.Contains(new TopicIdPartition(topic.TopicId, number))).ToList();
                Assert.Equal(_clients.Exists(client => client.Topics.Contains(topic.Name)) ? 1 : 0, readers.Count);
                Assert.All(readers, reader => Assert.Contains(topic.Name, reader.Topics));
            }
        }
    }

    private void Say(string line) => _log.Add(line);

    private sealed record Client(string Id, string? Instance, bool IsClassic, bool IsEager)
    {
        public string[] Topics { get; set; } = [];
        public string[]? ToldTopics { get; set; }
        public int Epoch { get; set; }
        public bool MustSync { get; set; }
        public bool MustJoin { get; set; }
        // The last answer may be lost, so the next heartbeat carries the full state.
        public bool IsUnsure { get; set; }
        public PartitionSet Told { get; set; } = PartitionSet.Empty;
        public PartitionSet Reads { get; set; } = PartitionSet.Empty;
    }
}
