using Orleans.Runtime.Placement;

namespace OrleansMq.Grains.Brokers;

/// <summary>Sends the first call of a broker's grain, of a silo without a broker or of its clients, to any broker, which passes it on to
/// the one that has the grain. The answer names that one, and Orleans sends later calls straight to it. A call that is passed on again, as
/// the leader has moved, names the next one.</summary>
internal sealed class BrokerPlacementDirector : IPlacementDirector
{
    /// <inheritdoc/>
    public Task<SiloAddress> OnAddActivation(PlacementStrategy strategy, PlacementTarget target, IPlacementContext context)
    {
        var brokers = context.GetCompatibleSilos(target);
        return Task.FromResult(brokers[Random.Shared.Next(brokers.Length)]);
    }
}
