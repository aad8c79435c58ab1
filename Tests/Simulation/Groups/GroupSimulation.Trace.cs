using OrleansMq.Api;
using OrleansMq.Coordination;
using OrleansMq.Groups.Coordination;

namespace OrleansMq.Tests.Simulation.Groups;

// The text of traced steps.
internal sealed partial class GroupSimulation
{
    public string Describe(IEnumerable<TopicIdPartition> partitions) =>
        string.Join(' ',
            partitions.GroupBy(p => p.TopicId)
            .Select(g => $"{NameOf(g.Key)}({g.Key.ToString()[^4..]}):{string.Join(',', g.Select(p => p.Partition).Order())}"));

    private string Describe(IEnumerable<OrleansMq.Groups.Consumer.TopicIdPartition> partitions) =>
        Describe(partitions.Select(p => new TopicIdPartition(p.TopicId, p.Partition)));

    private string Describe(IEnumerable<TopicPartitions>? partitions) => partitions is null ? "unchanged"
        : $"[{Describe(partitions.SelectMany(t => t.Partitions.Select(p => new TopicIdPartition(t.TopicId, p))))}]";

    private static string Describe(IEnumerable<PartitionOffset> offsets) =>
        string.Join(' ', offsets.Select(o => $"{o.Topic}-{o.Partition}={o.Offset.Offset}/{o.Offset.Metadata}"));

    private string Describe(Store write) => write switch
    {
        { Content: GroupDocument group } => $"group by {group.Coordinator.Epoch}: {Describe(group)}",
        { Content: GroupOffsetsContent offsets } => $"offsets by {offsets.Coordinator.Epoch}: "
            + string.Join(' ',
                offsets.Offsets.Topics.SelectMany(t =>
                    t.Value.Partitions.Select(p => $"{t.Key}-{p.Key}={p.Value.Offset}/{p.Value.Metadata}")))
            + string.Concat(offsets.Offsets.Pending.Transactions.Select(p => $"; p{p.Key}#{p.Value.Number} pending "
                + string.Join(' ', p.Value.Offsets.Select(o => $"{o.Key}={o.Value.Offset.Metadata}"))))
            + string.Concat(offsets.Offsets.Fences.Select(f => $"; p{f.Key}#{f.Value.Number} ended")),
        _ => $"delete {GroupDocuments.Kind.Documents[write.Document].Name}",
    };

    private string Describe(GroupDocument group) => group switch
    {
        { Consumer: { } consumer } => $"{consumer.State} {consumer.GroupEpoch}/{consumer.TargetEpoch}:"
            + string.Concat(consumer.Members.Values.Select(m => $" {(m.IsClassic ? "classic " : "")}{m.ClientId}={m.MemberId[..4]} "
            + $"{m.Status} in {m.PreviousEpoch}-{m.Epoch} has [{Describe(m.Assigned)}] gives [{Describe(m.Revoking)}] wants "
            + $"[{Describe(m.Target)}];")),
        { Classic: { } classic } =>
            $"{classic.State} {classic.Generation} by {classic.ProtocolName}, {classic.Leader} leads "
            + $"{string.Join(' ', classic.Members.Keys)}",
        _ => group.Type.ToString(),
    };

    private string Describe(object message) => message switch
    {
        JoinGroup join => $"join of {join.ClientId} as '{join.MemberId}'",
        SyncGroup sync =>
            $"sync of {sync.MemberId} in "
            + $"{sync.GenerationId}{(sync.Assignments.Count > 0 ? $" with {sync.Assignments.Count} assignments" : "")}",
        Heartbeat heartbeat => $"heartbeat of {heartbeat.MemberId} in {heartbeat.GenerationId}",
        LeaveGroup leave => $"leave of {string.Join(' ', leave.Members.Select(m => $"{m.MemberId}/{m.GroupInstanceId}"))}",
        ConsumerGroupHeartbeat heartbeat =>
            $"heartbeat of {heartbeat.MemberId} in {heartbeat.MemberEpoch}, owns "
            + $"{Describe(heartbeat.OwnedPartitions)}{(heartbeat.SubscribedTopicNames is null ? "" : ", full")}",
        OffsetCommit commit => $"commit of '{commit.MemberId}' in {commit.GenerationIdOrMemberEpoch}: {Describe(commit.Offsets)}",
        TransactionOffsetCommit commit => $"commit of p{commit.Producer.ProducerId}#{commit.Number}: {Describe(commit.Offsets)}",
        EndTransactionOffsets end => $"end of p{end.Producer.ProducerId}#{end.Number} by {(end.IsCommit ? "commit" : "abort")}",
        OffsetFetch fetch => $"fetch of {string.Join(' ', fetch.Partitions ?? [])}",
        JoinGroupResult joined =>
            $"{joined.Error} {joined.MemberId} in {joined.GenerationId}, {joined.Leader} leads by "
            + $"{joined.ProtocolName}{(joined.SkipAssignment ? ", as before" : "")} {joined.Message}",
        SyncGroupResult { Error: ErrorCode.None } synced => string.Join(' ', ClientAssignment.Parse(synced.Assignment)),
        ConsumerGroupHeartbeatResult result => $"{result.Error} {result.MemberEpoch} {Describe(result.Assignment)} {result.Message}",
        OffsetCommitResult result => string.Join(' ', result.Partitions.Select(p => p.Error)),
        OffsetFetchResult result =>
            $"{result.Error} {string.Join(' ', result.Partitions.Select(p => $"{p.Partition}={p.Offset?.Offset}/{p.Offset?.Metadata}"))}",
        _ => message.ToString() ?? "",
    };
}
