using OrleansMq.Diagnostics;
using OrleansMq.Grains.Partitions;

namespace OrleansMq.Grains.Coordination;

/// <summary>Finds the broker that runs a coordinator, or is to run it, by asking the live brokers. Keeps nothing between two
/// searches.</summary>
internal sealed class CoordinatorSearch(IBrokerPeers peers, ActiveCoordinators active, CoordinatorServiceClient others,
    TimeSpan answerTimeout, TimeProvider time, EngineLog log)
{
    /// <summary>Searches. A broker that hangs loses its coordinators to one that answers, and its writes to the other's claim.</summary>
    public async Task<int> FindAsync(GrainId coordinator)
    {
        using var timeout = new CancellationTokenSource(answerTimeout, time);
        var live = peers.Live;
        var asked = live.ToDictionary(broker => broker, broker => AskAsync(broker, coordinator, timeout.Token));
        await Task.WhenAll(asked.Values).ConfigureAwait(false);
        return CoordinatorChoice.Decide(coordinator.Key.ToString()!, peers.Self, live, peers.IsActive, broker => asked[broker].Result);
    }

    /// <summary>Tells all other brokers that this one has claimed the documents, so that an activation that has not noticed ends.</summary>
    public Task AnnounceAsync(GrainId coordinator) =>
        Task.WhenAll(peers.Live.Where(broker => broker != peers.Self).Select(async broker =>
        {
            try
            {
                if (peers.Find(broker) is { } silo)
                    await others.Of(silo).ClaimedAsync(coordinator, peers.Self).ConfigureAwait(false);
            }
            catch (Exception failure) // Whatever the call throws: the writes of an activation there are refused all the same.
            {
                log.Write(EngineLogLevel.Debug, $"Broker {broker} was not told of the claim on {coordinator}.", failure);
            }
        }));

    private async Task<CoordinatorHolding> AskAsync(int broker, GrainId coordinator, CancellationToken timeout)
    {
        if (broker == peers.Self)
            return active.HoldingOf(coordinator);
        try
        {
            return peers.Find(broker) is { } silo
                ? (CoordinatorHolding)await others.Of(silo).LocateAsync(coordinator).WaitAsync(timeout).ConfigureAwait(false)
                : CoordinatorHolding.Unknown;
        }
        catch (Exception failure) // Whatever the call throws: the broker did not answer.
        {
            log.Write(EngineLogLevel.Debug, $"Broker {broker} did not answer for {coordinator}.", failure);
            return CoordinatorHolding.Unknown;
        }
    }
}
