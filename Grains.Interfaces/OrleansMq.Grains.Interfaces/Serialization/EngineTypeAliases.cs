using Orleans.Serialization.Configuration;
using OrleansMq.Brokers;
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
        ["omq.ConfigEntry"] = typeof(ConfigEntry),
        ["omq.FetchResult"] = typeof(FetchResult),
        ["omq.LeaderElection"] = typeof(LeaderElection),
        ["omq.NewTopic"] = typeof(NewTopic),
        ["omq.OffsetResult"] = typeof(OffsetResult),
        ["omq.OffsetSpec"] = typeof(OffsetSpec),
        ["omq.PartitionDescription"] = typeof(PartitionDescription),
        ["omq.PartitionReassignment"] = typeof(PartitionReassignment),
        ["omq.ProduceResult"] = typeof(ProduceResult),
        ["omq.ProducerIdentity"] = typeof(ProducerIdentity),
        ["omq.RebalanceMove"] = typeof(RebalanceMove),
        ["omq.RebalancePlan"] = typeof(RebalancePlan),
        ["omq.RebalanceStatus"] = typeof(RebalanceStatus),
        ["omq.RebalanceThrottle"] = typeof(RebalanceThrottle),
        ["omq.TopicDescription"] = typeof(TopicDescription),
        ["omq.TopicListing"] = typeof(TopicListing),
        ["omq.TopicPartition"] = typeof(TopicPartition),
    };

    /// <inheritdoc/>
    protected override void ConfigureInner(TypeManifestOptions options)
    {
        foreach (var (alias, type) in Aliases)
            options.WellKnownTypeAliases[alias] = type;
    }
}
