using OrleansMq.Api;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>A broker whose groups say the same whatever they are asked.</summary>
internal sealed class ScriptedBroker(IBroker inner) : ForwardingBroker(inner)
{
    public override IGroupCoordinator Groups { get; } = new ScriptedGroups();

    private sealed class ScriptedGroups : IGroupCoordinator
    {
        private static readonly byte[] Assignment = [7, 8];

        public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default) => new(0);

        public ValueTask<JoinGroupResult> JoinGroupAsync(JoinGroup request, CancellationToken cancellationToken = default) =>
            new(new JoinGroupResult
            {
                Error = ErrorCode.None,
                GenerationId = 3,
                ProtocolType = "consumer",
                ProtocolName = "range",
                Leader = "member-1",
                MemberId = "member-1",
                Members = [new JoinedMember("member-1", "instance-1", request.Protocols is [var first, ..] ? first.Metadata : default)],
            });

        public ValueTask<SyncGroupResult> SyncGroupAsync(SyncGroup request, CancellationToken cancellationToken = default) =>
            new(new SyncGroupResult(ErrorCode.None, null, "consumer", "range", Assignment));

        public ValueTask<GroupReply> HeartbeatAsync(Heartbeat request, CancellationToken cancellationToken = default) =>
            new(new GroupReply(ErrorCode.RebalanceInProgress));

        public ValueTask<LeaveGroupResult> LeaveGroupAsync(LeaveGroup request, CancellationToken cancellationToken = default) =>
            new(new LeaveGroupResult(ErrorCode.None,
                [.. request.Members.Select(static member => new LeftMember(member.MemberId, member.GroupInstanceId,
                    ErrorCode.UnknownMemberId))]));

        public ValueTask<ConsumerGroupHeartbeatResult> ConsumerGroupHeartbeatAsync(ConsumerGroupHeartbeat request,
            CancellationToken cancellationToken = default) =>
            new(new ConsumerGroupHeartbeatResult
            {
                Error = ErrorCode.None,
                MemberId = "member-1",
                MemberEpoch = 4,
                HeartbeatInterval = TimeSpan.FromSeconds(5),
                Assignment = [new TopicPartitions(new Guid("11111111-2222-3333-4444-555555555555"), [0, 1])],
            });

        public ValueTask<OffsetCommitResult> CommitOffsetsAsync(OffsetCommit request, CancellationToken cancellationToken = default) =>
            new(new OffsetCommitResult(
                [.. request.Offsets.Select(static offset => new PartitionError(offset.Topic, offset.Partition, ErrorCode.None))]));

        public ValueTask<OffsetFetchResult> FetchOffsetsAsync(OffsetFetch request, CancellationToken cancellationToken = default) =>
            new(new OffsetFetchResult(ErrorCode.None, [.. (request.Partitions ?? [new TopicPartition("orders", 0)])
                .Select(static partition => new FetchedOffset(partition, Guid.Empty, new CommittedOffset(2, 0, "note")))]));

        public ValueTask<OffsetDeleteResult> DeleteOffsetsAsync(OffsetDelete request, CancellationToken cancellationToken = default) =>
            new(new OffsetDeleteResult(ErrorCode.None,
                [.. request.Partitions.Select(static partition =>
                    new PartitionError(partition.Topic, partition.Partition, ErrorCode.GroupSubscribedToTopic))]));

        public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken = default) => new(
        [
            new GroupListing("readers", "consumer", GroupState.Stable, GroupType.Classic),
        ]);

        public ValueTask<GroupDescription> DescribeGroupAsync(string groupId, CancellationToken cancellationToken = default) => new(
            new GroupDescription(groupId, groupId == "modern" ? GroupType.Consumer : GroupType.Classic, GroupState.Stable, "consumer",
                "range", 3, 3, 0,
            [
                new GroupMember
                {
                    MemberId = "member-1",
                    GroupInstanceId = "instance-1",
                    RackId = "r1",
                    ClientId = "client",
                    ClientHost = "/10.0.0.2",
                    MemberEpoch = 3,
                    SubscribedTopicNames = ["orders"],
                    Assignment = [new TopicPartition("orders", 0)],
                    TargetAssignment = [new TopicPartition("orders", 0), new TopicPartition("orders", 1)],
                    ClassicMetadata = groupId == "modern" ? default : Assignment,
                    ClassicAssignment = groupId == "modern" ? default : Assignment,
                },
            ]));

        public ValueTask DeleteGroupAsync(string groupId, CancellationToken cancellationToken = default) =>
            ValueTask.FromException(new BrokerException(ErrorCode.NonEmptyGroup, "It has members."));
    }
}
