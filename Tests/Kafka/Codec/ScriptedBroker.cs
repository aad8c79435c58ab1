using OrleansMq.Api;
using OrleansMq.Tests.Kafka.Transactions;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>A broker whose groups and transactions return fixed answers.</summary>
internal sealed class ScriptedBroker(IBroker inner) : ForwardingBroker(inner)
{
    public override IGroupCoordinator Groups { get; } = new ScriptedGroups();

    public override ITransactionCoordinator Transactions { get; } = new ScriptedCoordinator();

    private sealed class ScriptedGroups : IGroupCoordinator
    {
        private static readonly byte[] Assignment = [7, 8];

        public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default) => new(0);

        public ValueTask<IReadOnlyList<string>> ListConfiguredAsync(CancellationToken cancellationToken = default) => new([]);

        public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken = default) => new(
        [
            new GroupListing("readers", "consumer", GroupState.Stable, GroupType.Classic),
        ]);

        public ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken = default) =>
            new(request.Answer(Answer(request)));

        private static object Answer(IGroupRequest request) => request switch
        {
            JoinGroup join => new JoinGroupResult
            {
                Error = ErrorCode.None,
                GenerationId = 3,
                ProtocolType = "consumer",
                ProtocolName = "range",
                Leader = "member-1",
                MemberId = "member-1",
                Members = [new JoinedMember("member-1", "instance-1", join.Protocols is [var first, ..] ? first.Metadata : default)],
            },
            SyncGroup => new SyncGroupResult(ErrorCode.None, null, "consumer", "range", Assignment),
            Heartbeat => new GroupReply(ErrorCode.RebalanceInProgress),
            LeaveGroup leave => new LeaveGroupResult(ErrorCode.None,
                [.. leave.Members.Select(static member => new LeftMember(member.MemberId, member.GroupInstanceId,
                    ErrorCode.UnknownMemberId))]),
            ConsumerGroupHeartbeat => new ConsumerGroupHeartbeatResult
            {
                Error = ErrorCode.None,
                MemberId = "member-1",
                MemberEpoch = 4,
                HeartbeatInterval = TimeSpan.FromSeconds(5),
                Assignment = [new TopicPartitions(new Guid("11111111-2222-3333-4444-555555555555"), [0, 1])],
            },
            ShareGroupHeartbeat => new ShareGroupHeartbeatResult
            {
                Error = ErrorCode.None,
                MemberId = "member-1",
                MemberEpoch = 4,
                HeartbeatInterval = TimeSpan.FromSeconds(5),
                Assignment = [new TopicPartitions(new Guid("11111111-2222-3333-4444-555555555555"), [0, 1])],
            },
            FindShareCursors => new ShareCursorsResult(ErrorCode.None, null, true, [], []),
            AlterShareGroup => default(GroupReply),
            OffsetCommit commit => new OffsetCommitResult(
                [.. commit.Offsets.Select(static offset => new PartitionError(offset.Topic, offset.Partition, ErrorCode.None))]),
            TransactionOffsetCommit commit => new OffsetCommitResult(
                [.. commit.Offsets.Select(static offset => new PartitionError(offset.Topic, offset.Partition, ErrorCode.None))]),
            OffsetFetch fetch => new OffsetFetchResult(ErrorCode.None, [.. (fetch.Partitions ?? [new TopicPartition("orders", 0)])
                .Select(static partition => new FetchedOffset(partition, Guid.Empty, new CommittedOffset(2, 0, "note")))]),
            OffsetDelete delete => new OffsetDeleteResult(ErrorCode.None,
                [.. delete.Partitions.Select(static partition =>
                    new PartitionError(partition.Topic, partition.Partition, ErrorCode.GroupSubscribedToTopic))]),
            DescribeGroup describe => Describe(describe.GroupId),
            DeleteGroup => new GroupReply(ErrorCode.NonEmptyGroup, "It has members."),
            _ => throw new NotSupportedException(),
        };

        private static GroupDescription Describe(string groupId) => new(
            groupId, groupId switch { "modern" => GroupType.Consumer, "workers" => GroupType.Share, _ => GroupType.Classic },
            GroupState.Stable, "consumer", "range", 3, 3, 0,
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
            ]);
    }
}
