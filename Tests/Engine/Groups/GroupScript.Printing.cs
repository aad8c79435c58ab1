using System.Text;
using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Diagnostics;
using OrleansMq.Groups.Classic;
using OrleansMq.Groups.Coordination;
using OrleansMq.Groups.Offsets;
using OrleansMq.Groups.Share;

namespace OrleansMq.Tests.Engine.Groups;

internal sealed partial class GroupScript
{
    private void Print(string coreName)
    {
        var core = _cores[coreName];
        var prefix = _cores.Count > 1 ? $"{coreName}: " : "";
        for (var at = _seen.GetValueOrDefault(coreName); at < core.Seen.Count; at++)
        {
            if (Line(coreName, core.Seen[at]) is { } line)
                _output.Add(prefix + line);
        }
        _seen[coreName] = core.Seen.Count;
    }

    private string? Line(string coreName, CoordinatorEffect effect) => effect switch
    {
        Reply reply => $"{_requests[(coreName, reply.RequestId)]} -> {Result(_requests[(coreName, reply.RequestId)], reply.Result)}",
        Store { Content: GroupDocument { Share: { } share } document } =>
            $"store group: epoch {document.Coordinator.Epoch}, {State(share)}{ConfigsOf(document)}",
        Store { Content: GroupDocument group } =>
            $"store group: epoch {group.Coordinator.Epoch}, {State(group.Classic)}{ConfigsOf(group)}",
        Store { Content: GroupOffsetsContent offsets } =>
            $"store offsets: epoch {offsets.Coordinator.Epoch}, " + Or("none", string.Join(' ', offsets.Offsets.Topics
            .SelectMany(topic => topic.Value.Partitions.Select(partition => $"{topic.Key}-{partition.Key}={partition.Value.Offset}"))))
            + Transactions(offsets.Offsets),
        Store delete => $"delete {(delete.Document == GroupDocuments.Group ? "group" : "offsets")}",
        ReadStored => "read",
        ConfirmClaim => "confirm",
        Deposed => "deposed",
        LogLine line => $"{(line.Level == EngineLogLevel.Warning ? "warning" : "log")}: {Named(line.Message)}",
        _ => null,
    };

    private string Result(string request, object result)
    {
        switch (result)
        {
            case JoinGroupResult join:
                var member = Member(request.Split(' ')[1]);
                Learn(request.Split(' ')[1], member, join);
                return join.Error != ErrorCode.None
                    ? $"{join.Error} {Name(join.MemberId)}".TrimEnd()
                    : $"generation {join.GenerationId}, {join.ProtocolName}, leader {Name(join.Leader)}, is {Name(join.MemberId)}"
                        + (join.SkipAssignment ? ", skips the assignment" : "")
                        + (join.Members.Count == 0
                            ? ""
                            : $", members {string.Join(' ', join.Members.Select(other => Name(other.MemberId) + Said(other.Metadata)))}");
            case SyncGroupResult sync:
                return sync.Error == ErrorCode.None ? $"assigned {Or("nothing", Encoding.UTF8.GetString(sync.Assignment.Span))}"
                    : $"{sync.Error}";
            case ShareGroupHeartbeatResult share:
                if (share.MemberEpoch > 0)
                    Member(request.Split(' ')[1]).Generation = share.MemberEpoch;
                return share.Error != ErrorCode.None ? $"{share.Error}" : $"epoch {share.MemberEpoch}"
                    + (share.Assignment is { } assigned ? $", assigned {Or("nothing", string.Join(' ', assigned.SelectMany(topic =>
                        topic.Partitions.Select(partition => $"{_image.Topics[topic.TopicId].Name}-{partition}"))))}" : "");
            case GroupReply reply:
                return reply.Error == ErrorCode.None ? "ok" : $"{reply.Error}";
            case LeaveGroupResult leave:
                return leave.Error != ErrorCode.None ? $"{leave.Error}"
                    : string.Join(", ", leave.Members.Select(left => left.Error == ErrorCode.None ? "ok" : $"{left.Error}"));
            case OffsetCommitResult commit:
                return string.Join(", ",
                    commit.Partitions.Select(partition => partition.Error == ErrorCode.None ? "ok" : $"{partition.Error}"));
            case OffsetFetchResult fetch:
                return fetch.Error != ErrorCode.None ? $"{fetch.Error}"
                    : Or("nothing", string.Join(' ', fetch.Partitions.Select(partition =>
                    $"{partition.Partition}={(partition.Error != ErrorCode.None ? partition.Error : partition.Offset?.Offset)}")));
            case OffsetDeleteResult delete:
                return delete.Error != ErrorCode.None ? $"{delete.Error}"
                    : string.Join(", ",
                        delete.Partitions.Select(partition => partition.Error == ErrorCode.None ? "ok" : $"{partition.Error}"));
            case GroupDescription description:
                return $"{description.State}, generation {description.Epoch}, members "
                    + Or("none", string.Join(' ', description.Members.Select(other => Name(other.MemberId))));
            case GroupListing listing:
                return $"{listing.Type}, {listing.State}, type '{listing.ProtocolType}'";
            default:
                throw new InvalidOperationException($"No answer of a group: {result}.");
        }
    }

    private void Learn(string name, ScriptedMember member, JoinGroupResult join)
    {
        if (join.MemberId.Length > 0 && !_names.ContainsKey(join.MemberId))
            _names.Add(join.MemberId, $"{name}#{++member.Ids}");
        if (join.Error is ErrorCode.None or ErrorCode.MemberIdRequired)
            member.Id = join.MemberId;
        if (join.Error == ErrorCode.None)
            member.Generation = join.GenerationId;
    }

    // The state is stored before the member learns its id.
    private string Name(string memberId)
    {
        if (_names.TryGetValue(memberId, out var name) || !memberId.EndsWith("-000000000000", StringComparison.Ordinal))
            return name ?? memberId;
        var client = _members.First(entry => memberId.StartsWith((entry.Value.Instance ?? entry.Key) + "-", StringComparison.Ordinal));
        return _names[memberId] = $"{client.Key}#{++client.Value.Ids}";
    }

    private string Named(string message) =>
        _names.Aggregate(message, (text, entry) => text.Replace(entry.Key, entry.Value, StringComparison.Ordinal));

    private string State(ClassicGroupState? state) => state is null
        ? "no members ever"
        : $"{state.State}, generation {state.Generation}, members " + Or("none", string.Join(' ', state.Members.Values.Select(member =>
            Name(member.MemberId) + (member.Assignment.IsEmpty ? "" : $":{Encoding.UTF8.GetString(member.Assignment.Span)}"))));

    private string Transactions(GroupOffsets offsets) =>
        string.Concat(offsets.Pending.Transactions.Select(open => $", {_producers[(int)open.Key]} #{open.Value.Number} pending "
            + string.Join(' ', open.Value.Offsets.Select(static offset => $"{offset.Key}={offset.Value.Offset.Offset}"))))
        + string.Concat(offsets.Fences.Select(fence => $", {_producers[(int)fence.Key]} #{fence.Value.Number} ended"));

    private static string ConfigsOf(GroupDocument group) =>
        group.Configs is null ? "" : $", {string.Join(", ", group.Configs.Select(static config => $"{config.Key}={config.Value}"))}";

    private string State(ShareGroupState share) => $"{share.State}, share group, epoch {share.TargetEpoch}/{share.GroupEpoch}, cursors "
        + Or("none", string.Join(' ', share.Cursors.Select(cursors => _image.Topics.GetValueOrDefault(cursors.TopicId)?.Name)))
        + ", members "
        + Or("none", string.Join(' ', share.Members.Values.Select(member => $"{member.MemberId}@{member.Epoch}")));

    private static string Said(ReadOnlyMemory<byte> metadata) => metadata.IsEmpty ? "" : $"({Encoding.UTF8.GetString(metadata.Span)})";

    private static string Or(string nothing, string text) => text.Length == 0 ? nothing : text;
}
