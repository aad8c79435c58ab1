using OrleansMq.Diagnostics;
using OrleansMq.Grains.Partitions;

namespace OrleansMq.Grains.Groups;

/// <summary>Finds out where a group is coordinated, or is to be, by asking the live brokers. Knows nothing between two searches.</summary>
internal sealed class GroupSearch(IBrokerPeers peers, ActiveGroups active, GroupServiceClient others, TimeSpan answerTimeout,
    TimeProvider time, EngineLog log)
{
    /// <summary>Searches. A broker that hangs loses its groups to one that answers, and its writes to the other's claim.</summary>
    public async Task<int> FindAsync(string groupId)
    {
        using var timeout = new CancellationTokenSource(answerTimeout, time);
        var live = peers.Live;
        var asked = live.ToDictionary(broker => broker, broker => AskAsync(broker, groupId, timeout.Token));
        await Task.WhenAll(asked.Values).ConfigureAwait(false);
        return CoordinatorChoice.Decide(groupId, peers.Self, live, peers.IsActive, broker => asked[broker].Result);
    }

    /// <summary>Tells all others that this broker has claimed a group, so that an activation that has not noticed ends.</summary>
    public Task AnnounceAsync(string groupId) => Task.WhenAll(peers.Live.Where(broker => broker != peers.Self).Select(async broker =>
    {
        try
        {
            if (peers.Find(broker) is { } silo)
                await others.Of(silo).ClaimedAsync(groupId, peers.Self).ConfigureAwait(false);
        }
        catch (Exception failure) // Whatever the way to it throws: what it would write of the group is refused all the same.
        {
            log.Write(EngineLogLevel.Debug, $"Broker {broker} could not be told who coordinates group '{groupId}'.", failure);
        }
    }));

    private async Task<GroupHolding> AskAsync(int broker, string groupId, CancellationToken timeout)
    {
        if (broker == peers.Self)
            return active.HoldingOf(groupId);
        try
        {
            return peers.Find(broker) is { } silo
                ? (GroupHolding)await others.Of(silo).LocateAsync(groupId).WaitAsync(timeout).ConfigureAwait(false)
                : GroupHolding.Unknown;
        }
        catch (Exception failure) // Whatever the way to it throws: it did not answer, and is treated as one that did not.
        {
            log.Write(EngineLogLevel.Debug, $"Broker {broker} did not answer for group '{groupId}'.", failure);
            return GroupHolding.Unknown;
        }
    }
}
