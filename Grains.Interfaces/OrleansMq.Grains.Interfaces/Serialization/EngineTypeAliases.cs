using Orleans.Serialization.Configuration;
using OrleansMq.Api;
using OrleansMq.Grains.Serialization;

[assembly: TypeManifestProvider(typeof(EngineTypeAliases))]

namespace OrleansMq.Grains.Serialization;

/// <summary>
/// The names under which the engine's types cross silos. The engine knows no Orleans, so their aliases stand here rather than on the types;
/// what a message holds stays readable when a type moves to another namespace or assembly. Never change or reuse one.
/// </summary>
internal sealed class EngineTypeAliases : TypeManifestProviderBase
{
    /// <summary>Every engine type that crosses silos, by its alias.</summary>
    internal static IReadOnlyDictionary<string, Type> Aliases { get; } = new Dictionary<string, Type>
    {
        ["omq.BrokerDescription"] = typeof(BrokerDescription),
        ["omq.BrokerException"] = typeof(BrokerException),
        ["omq.BrokerShare"] = typeof(BrokerShare),
        ["omq.ClusterDescription"] = typeof(ClusterDescription),
        ["omq.CommittedOffset"] = typeof(CommittedOffset),
        ["omq.ConfigEntry"] = typeof(ConfigEntry),
        ["omq.ConsumerGroupHeartbeat"] = typeof(ConsumerGroupHeartbeat),
        ["omq.ConsumerGroupHeartbeatResult"] = typeof(ConsumerGroupHeartbeatResult),
        ["omq.FetchResult"] = typeof(FetchResult),
        ["omq.FetchedOffset"] = typeof(FetchedOffset),
        ["omq.GroupDescription"] = typeof(GroupDescription),
        ["omq.GroupListing"] = typeof(GroupListing),
        ["omq.GroupMember"] = typeof(GroupMember),
        ["omq.GroupProtocol"] = typeof(GroupProtocol),
        ["omq.GroupReply"] = typeof(GroupReply),
        ["omq.Heartbeat"] = typeof(Heartbeat),
        ["omq.JoinGroup"] = typeof(JoinGroup),
        ["omq.JoinGroupResult"] = typeof(JoinGroupResult),
        ["omq.JoinedMember"] = typeof(JoinedMember),
        ["omq.LeaderElection"] = typeof(LeaderElection),
        ["omq.LeaveGroup"] = typeof(LeaveGroup),
        ["omq.LeaveGroupResult"] = typeof(LeaveGroupResult),
        ["omq.LeavingMember"] = typeof(LeavingMember),
        ["omq.LeftMember"] = typeof(LeftMember),
        ["omq.MemberAssignment"] = typeof(MemberAssignment),
        ["omq.NewTopic"] = typeof(NewTopic),
        ["omq.OffsetCommit"] = typeof(OffsetCommit),
        ["omq.OffsetCommitResult"] = typeof(OffsetCommitResult),
        ["omq.OffsetDelete"] = typeof(OffsetDelete),
        ["omq.OffsetDeleteResult"] = typeof(OffsetDeleteResult),
        ["omq.OffsetFetch"] = typeof(OffsetFetch),
        ["omq.OffsetFetchResult"] = typeof(OffsetFetchResult),
        ["omq.OffsetResult"] = typeof(OffsetResult),
        ["omq.OffsetSpec"] = typeof(OffsetSpec),
        ["omq.PartitionDescription"] = typeof(PartitionDescription),
        ["omq.PartitionError"] = typeof(PartitionError),
        ["omq.PartitionOffset"] = typeof(PartitionOffset),
        ["omq.PartitionReassignment"] = typeof(PartitionReassignment),
        ["omq.ProduceResult"] = typeof(ProduceResult),
        ["omq.ProducerIdentity"] = typeof(ProducerIdentity),
        ["omq.RebalanceMove"] = typeof(RebalanceMove),
        ["omq.RebalancePlan"] = typeof(RebalancePlan),
        ["omq.RebalanceStatus"] = typeof(RebalanceStatus),
        ["omq.RebalanceThrottle"] = typeof(RebalanceThrottle),
        ["omq.SyncGroup"] = typeof(SyncGroup),
        ["omq.SyncGroupResult"] = typeof(SyncGroupResult),
        ["omq.TopicDescription"] = typeof(TopicDescription),
        ["omq.TopicListing"] = typeof(TopicListing),
        ["omq.TopicPartition"] = typeof(TopicPartition),
        ["omq.TopicPartitions"] = typeof(TopicPartitions),
    };

    /// <inheritdoc/>
    protected override void ConfigureInner(TypeManifestOptions options)
    {
        foreach (var (alias, type) in Aliases)
            options.WellKnownTypeAliases[alias] = type;
    }
}
