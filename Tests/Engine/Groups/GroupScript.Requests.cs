using System.Globalization;
using System.Text;
using OrleansMq.Api;

namespace OrleansMq.Tests.Engine.Groups;

internal sealed partial class GroupScript
{
    private void Send(string command, List<string> names, Dictionary<string, string> settings)
    {
        var label = string.Join(' ', [command, .. names]);
        IGroupRequest body = command switch
        {
            "join" => Join(Member(names[0]), names[0], settings),
            "sync" => Sync(Member(names[0]), settings),
            "heartbeat" =>
                new Heartbeat("g", Generation(Member(names[0]), settings), Id(Member(names[0]), settings), Member(names[0]).Instance),
            "leave" => new LeaveGroup("g", [.. names.Select(name => new LeavingMember(Id(Member(name), settings), Member(name).Instance))]),
            "kick" => new LeaveGroup("g", [.. names.Select(name => new LeavingMember("", name))]),
            "commit" => Commit(names[0], settings),
            "pend" => Pend(names[0], settings),
            "end" => new EndTransactionOffsets
            {
                GroupId = "g",
                Producer = Producer(names[0], settings),
                Number = Number(settings, "number", 1),
                CoordinatorEpoch = (int)Number(settings, "coordinator", 1),
                IsCommit = !settings.ContainsKey("abort"),
            },
            "fetch" => new OffsetFetch
            {
                GroupId = "g",
                Partitions = names is ["all"] ? null : [.. names.Select(Partition)],
                RequireStable = settings.ContainsKey("stable"),
            },
            "forget" => new OffsetDelete("g", [.. names.Select(Partition)]),
            "share" => Share(names[0], ShareGroupHeartbeat.JoinEpoch, settings),
            "beat" => Share(names[0], Generation(Member(names[0]), settings), settings),
            "part" => Share(names[0], ShareGroupHeartbeat.LeaveEpoch, settings),
            "configure" => new AlterShareGroup("g") { Configs = [.. settings.Select(one => new ShareGroupSetting(one.Key, one.Value))] },
            "describe" => new DescribeGroup("g"),
            "list" => new ListGroup("g"),
            "delete" => new DeleteGroup("g"),
            _ => throw new ArgumentException($"No command of a transcript: '{command}'."),
        };
        var core = Core;
        _requests[(_current, NextRequest(core))] = label;
        core.Send(body);
    }

    private static ShareGroupHeartbeat Share(string name, int epoch, Dictionary<string, string> settings) => new()
    {
        GroupId = "g",
        MemberId = name,
        MemberEpoch = epoch,
        SubscribedTopicNames = settings.TryGetValue("topics", out var topics) ? topics.Split(',') : null,
    };

    // Request numbers are counted for each core.
    private long NextRequest(ScriptedCore core) => _requests.Keys.Count(key => _cores[key.Core] == core) + 1;

    private ScriptedMember Member(string name)
    {
        if (!_members.TryGetValue(name, out var member))
            _members.Add(name, member = new ScriptedMember());
        return member;
    }

    private string Id(ScriptedMember member, Dictionary<string, string> settings) => settings.TryGetValue("id", out var name)
        ? _names.FirstOrDefault(entry => entry.Value == name).Key ?? name
        : member.Id;

    private static int Generation(ScriptedMember member, Dictionary<string, string> settings) =>
        settings.TryGetValue("generation", out var generation) ? int.Parse(generation, CultureInfo.InvariantCulture) : member.Generation;

    private JoinGroup Join(ScriptedMember member, string name, Dictionary<string, string> settings)
    {
        member.Instance = settings.GetValueOrDefault("instance", member.Instance!);
        if (settings.ContainsKey("restarted"))
            member.Id = "";
        var protocols = settings.GetValueOrDefault("protocols", "range").Split(',').Select(protocol => protocol.Split(':'));
        return new JoinGroup
        {
            GroupId = "g",
            MemberId = Id(member, settings),
            GroupInstanceId = member.Instance,
            ClientId = name,
            SessionTimeout = Seconds(settings.GetValueOrDefault("session", "10")),
            RebalanceTimeout = Seconds(settings.GetValueOrDefault("rebalance", "30")),
            ProtocolType = settings.GetValueOrDefault("type", "tests"),
            Protocols =
                [.. protocols.Select(protocol => new GroupProtocol(protocol[0],
                    Encoding.UTF8.GetBytes(protocol.ElementAtOrDefault(1) ?? "")))],
            RequireKnownMemberId = !settings.ContainsKey("old"),
            SupportsSkippingAssignment = !settings.ContainsKey("old"),
        };
    }

    private SyncGroup Sync(ScriptedMember member, Dictionary<string, string> settings) => new()
    {
        GroupId = "g",
        GenerationId = Generation(member, settings),
        MemberId = Id(member, settings),
        GroupInstanceId = member.Instance,
        Assignments = [.. settings.Where(setting => _members.ContainsKey(setting.Key))
            .Select(setting => new MemberAssignment(Member(setting.Key).Id, Encoding.UTF8.GetBytes(setting.Value)))],
    };

    private static long Number(Dictionary<string, string> settings, string name, long otherwise) =>
        settings.TryGetValue(name, out var number) ? long.Parse(number, CultureInfo.InvariantCulture) : otherwise;

    private ProducerIdentity Producer(string name, Dictionary<string, string> settings)
    {
        if (!_producers.Contains(name))
            _producers.Add(name);
        return new ProducerIdentity(_producers.IndexOf(name), (short)Number(settings, "epoch", 0));
    }

    private TransactionOffsetCommit Pend(string producer, Dictionary<string, string> settings)
    {
        var commit = Commit(settings.GetValueOrDefault("as", "outside"), settings);
        return new TransactionOffsetCommit
        {
            GroupId = commit.GroupId,
            TransactionalId = producer,
            Producer = Producer(producer, settings),
            Number = Number(settings, "number", 1),
            GenerationIdOrMemberEpoch = commit.GenerationIdOrMemberEpoch,
            MemberId = commit.MemberId,
            GroupInstanceId = commit.GroupInstanceId,
            Offsets = commit.Offsets,
        };
    }

    private OffsetCommit Commit(string name, Dictionary<string, string> settings)
    {
        var offsets = settings.Where(setting => TopicPartitionPattern.IsMatch(setting.Key)).ToList();
        return new OffsetCommit
        {
            GroupId = "g",
            MemberId = name == "outside" ? "" : Id(Member(name), settings),
            GroupInstanceId = name == "outside" ? null : Member(name).Instance,
            GenerationIdOrMemberEpoch = name == "outside" ? -1 : Generation(Member(name), settings),
            Offsets = [.. offsets.Select(offset => new PartitionOffset(Partition(offset.Key).Topic, Partition(offset.Key).Partition,
                new CommittedOffset(long.Parse(offset.Value, CultureInfo.InvariantCulture))))],
        };
    }
}
