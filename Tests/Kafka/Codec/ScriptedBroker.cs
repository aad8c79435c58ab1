using OrleansMq.Brokers;
using OrleansMq.Groups;

namespace OrleansMq.Tests.Kafka.Codec;

/// <summary>A broker whose groups say the same whatever they are asked.</summary>
internal sealed class ScriptedBroker(IBroker inner) : IBroker
{
    public IClusterAdministration Administration => inner.Administration;

    public IGroupCoordinator Groups { get; } = new ScriptedGroups();

    public ValueTask<TopicDescription> CreateTopicAsync(NewTopic topic, CancellationToken cancellationToken = default) => inner.CreateTopicAsync(topic, cancellationToken);

    public ValueTask DeleteTopicAsync(string topic, CancellationToken cancellationToken = default) => inner.DeleteTopicAsync(topic, cancellationToken);

    public ValueTask<IReadOnlyList<TopicListing>> ListTopicsAsync(CancellationToken cancellationToken = default) => inner.ListTopicsAsync(cancellationToken);

    public ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default) => inner.DescribeTopicAsync(topic, cancellationToken);

    public ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default) => inner.GetTopicAsync(topic, cancellationToken);

    public ValueTask<TopicDescription> AlterTopicAsync(string topic, IReadOnlyDictionary<string, string?> configs, CancellationToken cancellationToken = default) =>
        inner.AlterTopicAsync(topic, configs, cancellationToken);

    public ValueTask<TopicDescription> AddPartitionsAsync(string topic, int totalCount, CancellationToken cancellationToken = default) =>
        inner.AddPartitionsAsync(topic, totalCount, cancellationToken);

    public ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks, CancellationToken cancellationToken = default) =>
        inner.ProduceAsync(partition, batch, acks, cancellationToken);

    public ValueTask<FetchResult> FetchAsync(FetchRequest request, CancellationToken cancellationToken = default) => inner.FetchAsync(request, cancellationToken);

    public ValueTask<OffsetResult> FindOffsetAsync(TopicPartition partition, OffsetSpec spec, CancellationToken cancellationToken = default) =>
        inner.FindOffsetAsync(partition, spec, cancellationToken);

    public ValueTask<long> DeleteRecordsAsync(TopicPartition partition, long beforeOffset, CancellationToken cancellationToken = default) =>
        inner.DeleteRecordsAsync(partition, beforeOffset, cancellationToken);

    public ValueTask<ProducerIdentity> InitProducerIdAsync(CancellationToken cancellationToken = default) => inner.InitProducerIdAsync(cancellationToken);

    public ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default) => inner.DescribeClusterAsync(cancellationToken);

    private sealed class ScriptedGroups : IGroupCoordinator
    {
        private static readonly byte[] Assignment = [7, 8];

        public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default) => new(0);

        public ValueTask<JoinGroupResult> JoinGroupAsync(JoinGroup request, CancellationToken cancellationToken = default) => new(new JoinGroupResult
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

        public ValueTask<GroupReply> HeartbeatAsync(Heartbeat request, CancellationToken cancellationToken = default) => new(new GroupReply(ErrorCode.RebalanceInProgress));

        public ValueTask<LeaveGroupResult> LeaveGroupAsync(LeaveGroup request, CancellationToken cancellationToken = default) =>
            new(new LeaveGroupResult(ErrorCode.None, [.. request.Members.Select(static member => new LeftMember(member.MemberId, member.GroupInstanceId, ErrorCode.UnknownMemberId))]));

        public ValueTask<ConsumerGroupHeartbeatResult> ConsumerGroupHeartbeatAsync(ConsumerGroupHeartbeat request, CancellationToken cancellationToken = default) =>
            new(new ConsumerGroupHeartbeatResult
            {
                Error = ErrorCode.None,
                MemberId = "member-1",
                MemberEpoch = 4,
                HeartbeatInterval = TimeSpan.FromSeconds(5),
                Assignment = [new TopicPartitions(new Guid("11111111-2222-3333-4444-555555555555"), [0, 1])],
            });

        public ValueTask<OffsetCommitResult> CommitOffsetsAsync(OffsetCommit request, CancellationToken cancellationToken = default) =>
            new(new OffsetCommitResult([.. request.Offsets.Select(static offset => new PartitionError(offset.Topic, offset.Partition, ErrorCode.None))]));

        public ValueTask<OffsetFetchResult> FetchOffsetsAsync(OffsetFetch request, CancellationToken cancellationToken = default) =>
            new(new OffsetFetchResult(ErrorCode.None, [.. (request.Partitions ?? [new TopicPartition("orders", 0)])
                .Select(static partition => new FetchedOffset(partition, Guid.Empty, new CommittedOffset(2, 0, "note")))]));

        public ValueTask<OffsetDeleteResult> DeleteOffsetsAsync(OffsetDelete request, CancellationToken cancellationToken = default) =>
            new(new OffsetDeleteResult(ErrorCode.None, [.. request.Partitions.Select(static partition => new PartitionError(partition.Topic, partition.Partition, ErrorCode.GroupSubscribedToTopic))]));

        public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken = default) => new(
        [
            new GroupListing("readers", "consumer", GroupState.Stable, GroupType.Classic),
        ]);

        public ValueTask<GroupDescription> DescribeGroupAsync(string groupId, CancellationToken cancellationToken = default) => new(
            new GroupDescription(groupId, groupId == "modern" ? GroupType.Consumer : GroupType.Classic, GroupState.Stable, "consumer", "range", 3, 3, 0,
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
