using System.Globalization;
using System.Text;
using OrleansMq.Api;
using OrleansMq.Groups;
using OrleansMq.Groups.Assignment;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Consumer;

namespace OrleansMq.Tests.Engine.Groups.Consumer;

/// <summary>Plays a rebalance from a text in which each line with <c>&gt;</c> is a command, and compares the whole text with the outcome,
/// so that a protocol change shows as a text diff. A member acts on an answer only when a command says so.</summary>
internal sealed class Transcript
{
    private static readonly GroupOptions Options = new();

    private readonly TestTopics _topics = new();
    private readonly Dictionary<string, (int Epoch, IReadOnlyList<TopicPartitions> Told)> _told = [];
    private readonly StringBuilder _out = new();
    private ConsumerGroup? _group;
    private ClassicGroup? _classic;
    private DateTimeOffset _now = DateTimeOffset.UnixEpoch;

    /// <summary>Plays the commands in the text; every other line is replaced by what happens.</summary>
    public static void Check(string text)
    {
        var transcript = new Transcript();
        foreach (var line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(line => line.StartsWith('>')))
        {
            transcript._out.Append(line).Append('\n');
            transcript.Play(line[1..].Split(' ', StringSplitOptions.RemoveEmptyEntries));
        }
        Assert.Equal(text.Trim(), transcript._out.ToString().Trim());
    }

    private void Play(string[] words)
    {
        var who = words.Length > 1 ? words[1] : "";
        switch (words[0])
        {
            case "topic":
                _topics.Set(who, int.Parse(words[2], CultureInfo.InvariantCulture));
                Follow();
                break;
            case "delete":
                _topics.Delete(who);
                Follow();
                break;
            case "time":
                _now += TimeSpan.FromSeconds(int.Parse(words[1], CultureInfo.InvariantCulture));
                if (_group is not null)
                    Apply(ConsumerGroupDecision.OnTime(_group, _topics.Topics, _now));
                break;
            case "expire":
                Apply(ConsumerGroupDecision.Remove(_group!, who, _topics.Topics, _now));
                break;
            case "show":
                Show();
                break;
            case "join" or "beat" or "ack" or "leave" or "away":
                Heartbeat(words[0], who, Arguments(words));
                break;
            case "commit":
                var epoch = Number(Arguments(words), "epoch") ?? _told[who].Epoch;
                var commit = new OffsetCommit { GroupId = "g", MemberId = who, GenerationIdOrMemberEpoch = epoch, Offsets = [] };
                Write($"{who}: {ConsumerGroupDecision.CheckCommit(_group!.State, commit).Error}");
                break;
            case "poll":
                Poll(who);
                break;
            default:
                Classic(words[0], who, Arguments(words));
                break;
        }
    }

    private static Dictionary<string, string> Arguments(string[] words) =>
        words.Skip(2).Select(word => word.Split('=')).ToDictionary(pair => pair[0], pair => pair[1]);

    private static int? Number(Dictionary<string, string> arguments, string name) =>
        arguments.TryGetValue(name, out var text) ? int.Parse(text, CultureInfo.InvariantCulture) : null;

    private void Heartbeat(string command, string who, Dictionary<string, string> arguments)
    {
        var isJoin = command == "join";
        if (_group is null)
        {
            Assert.Equal(ErrorCode.None,
                GroupMigration.TryUpgrade(_classic ?? ClassicGroup.Create(_now), _topics.Topics, _now, out _group).Error);
            _classic = null;
        }
        _told.TryGetValue(who, out var told);
        var decision = ConsumerGroupDecision.Heartbeat(_group, new ConsumerGroupHeartbeat
        {
            GroupId = "g",
            MemberId = who,
            MemberEpoch = Number(arguments, "epoch") ?? command switch { "join" => 0, "leave" => -1, "away" => -2, _ => told.Epoch },
            InstanceId = arguments.GetValueOrDefault("instance"),
            RebalanceTimeout = isJoin ? TimeSpan.FromSeconds(30) : null,
            SubscribedTopicNames = arguments.TryGetValue("topics", out var topics) ? topics.Split(',') : null,
            SubscribedTopicRegex = arguments.GetValueOrDefault("regex"),
            ServerAssignor = arguments.GetValueOrDefault("assignor"),
            TakesOverInstance = arguments.ContainsKey("takeover"),
            OwnedPartitions = isJoin ? [] : command == "ack" ? told.Told : arguments.TryGetValue("owns", out var owns) ? Owned(owns) : null,
        }, "", _topics.Topics, _now, Options);
        if (decision.Reply is { Error: ErrorCode.None } && arguments.GetValueOrDefault("answer") != "lost")
            _told[who] = (decision.Reply.MemberEpoch, decision.Reply.Assignment ?? told.Told ?? []);
        Write(decision.Reply!.Error != ErrorCode.None ? $"{who}: {decision.Reply.Error}"
            : $"{who}: epoch {decision.Reply.MemberEpoch}{Held(decision.Reply)}");
        Apply(decision.Next);
    }

    private void Poll(string who)
    {
        var told = new ToldAssignment(_told[who].Epoch, PartitionSet.Of(_told[who].Told));
        Apply(ConsumerGroupDecision.Advance(_group!, [who], _now));
        var reply = ConsumerGroupDecision.AnswerHeartbeat(_group!, who, told, Options);
        if (reply is { Error: ErrorCode.None })
            _told[who] = (reply.MemberEpoch, reply.Assignment ?? _told[who].Told);
        Write(reply is null ? $"{who}: waits" : reply.Error != ErrorCode.None ? $"{who}: {reply.Error}"
            : $"{who}: epoch {reply.MemberEpoch}{Held(reply)}");
    }

    // --- Classic members: eager ones own nothing when they join, cooperative ones their last assignment ---

    private void Classic(string command, string who, Dictionary<string, string> arguments)
    {
        _told.TryGetValue(who, out var told);
        switch (command)
        {
            case "classic-join":
                var owned = arguments.TryGetValue("owns", out var owns) ? Names(Owned(owns)) : arguments["assignor"] == "range"
                    ? [] : Names(told.Told ?? []);
                Assert.True(ClientAssignors.TryGet(arguments["assignor"], out var assignor));
                var request = new JoinGroup
                {
                    GroupId = "g",
                    MemberId = arguments.ContainsKey("new") ? "" : who,
                    GroupInstanceId = arguments.GetValueOrDefault("instance"),
                    RebalanceTimeout = TimeSpan.FromSeconds(30),
                    RequireKnownMemberId = false,
                    Protocols = [ClientAssignors.Offer(assignor, assignor.Subscribe(arguments["topics"].Split(','), owned, told.Epoch))],
                };
                var joined = _group is not null ? Do(ConsumerGroupDecision.Join(_group, request, who, _topics.Topics, _now, Options))
                    : JoinClassic(request, who);
                if (joined is { Error: ErrorCode.None })
                    _told[who] = (joined.GenerationId, told.Told ?? []);
                Write(joined is null ? $"{who}: waits" : joined.Error != ErrorCode.None ? $"{who}: {joined.Error}"
                    : $"{who}: generation {joined.GenerationId} {joined.ProtocolName}{(joined.Leader == who ? " leads" : "")}");
                break;
            case "classic-sync":
                var sync = new SyncGroup { GroupId = "g", MemberId = who, GenerationId = told.Epoch,
                    Assignments = Assignments(who, arguments) };
                var synced = _group is not null ? Do(ConsumerGroupDecision.Sync(_group, sync, _now)) : SyncClassic(sync);
                if (synced is null || synced.Error != ErrorCode.None)
                {
                    Write($"{who}: {(synced is null ? "waits" : synced.Error)}");
                    break;
                }
                Assert.True(ConsumerProtocol.TryDecodeAssignment(synced.Assignment, out var assignment, out _));
                _told[who] = (told.Epoch, Ids(assignment.Partitions));
                Write($"{who}: hold {Text(PartitionSet.Of(_told[who].Told))}");
                break;
            case "classic-beat":
                var beat = new Heartbeat("g", told.Epoch, who);
                var beaten = _group is not null ? Do(ConsumerGroupDecision.Heartbeat(_group, beat, _now))!.Reply
                    : ClassicGroupDecision.Heartbeat(_classic!, beat);
                Write($"{who}: {beaten.Error}");
                break;
            case "classic-leave":
                var leave = new LeaveGroup("g", [new LeavingMember(who)]);
                Write($"{who}: {Do(ConsumerGroupDecision.Leave(_group!, leave, _topics.Topics, _now))!.Members[0].Error}");
                break;
            default:
                throw new ArgumentException($"No command: {command}.");
        }
    }

    private JoinGroupResult? JoinClassic(JoinGroup request, string who)
    {
        _classic ??= ClassicGroup.Create(_now);
        // An id chosen by the test, as if it had been assigned before.
        _classic = _classic.State.Members.ContainsKey(who) ? _classic
            : _classic with { Round = _classic.Round with { Pending = _classic.Round.Pending.SetItem(who, _now) } };
        var decision = ClassicGroupDecision.Join(_classic, request, who, _now, Options);
        _classic = decision.Next;
        return decision.Reply ?? ClassicGroupDecision.AnswerJoin(_classic, who, null);
    }

    private SyncGroupResult? SyncClassic(SyncGroup request)
    {
        var decision = ClassicGroupDecision.Sync(_classic!, request, _now);
        _classic = decision.Next;
        return decision.Reply;
    }

    private IReadOnlyList<MemberAssignment> Assignments(string who, Dictionary<string, string> arguments) =>
        arguments.TryGetValue("assigns", out var text)
            ? [new MemberAssignment(who, ConsumerProtocol.Encode(new ConsumerAssignment(Names(Owned(text)))))]
            : [];

    private TReply? Do<TReply>(ConsumerDecision<TReply> decision) where TReply : class
    {
        Apply(decision.Next);
        return decision.Reply;
    }

    // --- The group ---

    private void Follow()
    {
        if (_group is not null)
            Apply(ConsumerGroupDecision.OnTopics(_group, _topics.Topics));
    }

    private void Apply(ConsumerGroup next)
    {
        _group = next;
        if (GroupMigration.TryDowngrade(next, _now) is not { } classic)
            return;
        (_group, _classic) = (null, classic);
        Write($"-- classic again: {classic.State.State}, generation {classic.State.Generation}");
    }

    private void Show()
    {
        if (_group is not { State: var state })
        {
            Write($"-- classic {_classic!.State.State}, generation {_classic.State.Generation}: "
                + $"{string.Join(' ', _classic.State.Members.Keys)}");
            return;
        }
        Write($"-- {state.State}, epoch {state.GroupEpoch}, {state.Assignor ?? "no assignor"}");
        foreach (var member in state.Members.Values)
        {
            Write($"--   {member.MemberId} {member.Status} {member.Epoch} "
                + $"{Text(member.Assigned)}{(member.Revoking.IsEmpty ? "" : $" gives up {Text(member.Revoking)}")}"
                + (member.Target.Equals(member.Assigned) ? "" : $" of {Text(member.Target)}"));
        }
    }

    private void Write(string line) => _out.Append("  ").Append(line).Append('\n');

    private string Held(ConsumerGroupHeartbeatResult reply) =>
        reply.Assignment is { } assignment ? $" hold {Text(PartitionSet.Of(assignment))}" : "";

    private string Text(PartitionSet partitions)
    {
        var ordered = Names(partitions.ToTopicPartitions())
            .OrderBy(partition => partition.Topic, StringComparer.Ordinal).ThenBy(partition => partition.Partition);
        return $"[{string.Join(' ', ordered)}]";
    }

    private IReadOnlyList<TopicPartition> Names(IEnumerable<TopicPartitions> topics) =>
        [.. topics.SelectMany(topic => topic.Partitions.Select(number => new TopicPartition(_topics.NameOf(topic.TopicId), number)))];

    private IReadOnlyList<TopicPartitions> Ids(IEnumerable<TopicPartition> partitions) =>
        PartitionSet.Of(partitions.Select(partition => new TopicIdPartition(_topics.Topics.Find(partition.Topic)!.Value.TopicId,
            partition.Partition))).ToTopicPartitions();

    private IReadOnlyList<TopicPartitions> Owned(string text) => text == "nothing" ? [] : Ids(text.Split(',')
        .Select(part => new TopicPartition(part.Split('-')[0], int.Parse(part.Split('-')[1], CultureInfo.InvariantCulture))));
}
