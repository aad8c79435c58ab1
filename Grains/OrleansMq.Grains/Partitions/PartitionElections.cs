using OrleansMq.Replication;

namespace OrleansMq.Grains.Partitions;

/// <summary>Elections that an operator asks for where nobody can lead a partition. From any silo.</summary>
internal sealed class PartitionElections(LeaderSearch search, IBrokerPeers peers, LeaderServiceClient others)
{
    /// <summary>Makes a replica leader although it may lack acknowledged records, which are then lost for good.</summary>
    /// <param name="key">Which partition.</param>
    /// <param name="broker">Whose replica; null: the one that loses least, once all in-sync replicas have answered.</param>
    /// <returns>The broker that leads now.</returns>
    /// <exception cref="BrokerException"><see cref="ErrorCode.ElectionNotNeeded"/>: it is led, or can be; <see cref="ErrorCode.BrokerNotAvailable"/>,
    /// <see cref="ErrorCode.InvalidReplicaAssignment"/>: the broker is down, or does not hold it; <see cref="ErrorCode.EligibleLeadersNotAvailable"/>: not all
    /// in-sync replicas have answered; <see cref="ErrorCode.LeaderNotAvailable"/>, <see cref="ErrorCode.UnknownTopicId"/>.</exception>
    public async Task<int> ElectUncleanAsync(ReplicaKey key, int? broker)
    {
        var found = await search.FindUncleanAsync(key).ConfigureAwait(false);
        if (found.State is not { } state)
            throw new BrokerException(found.Error, found.Choice.Why ?? $"The state of partition {key} is not known. Retry.");
        if (found.Choice is { Unclean: false, Broker: >= 0 and var able })
            throw new BrokerException(ErrorCode.ElectionNotNeeded, $"Broker {able} leads partition {key}, or can: nothing need be lost.");
        if (broker is null && found.Choice.Broker == LeaderChoice.Nobody)
        {
            throw new BrokerException(ErrorCode.EligibleLeadersNotAvailable,
                $"Which replica of partition {key} loses least is not known: {found.Choice.Why} Or name the broker that is to lead all the same.");
        }
        var chosen = broker ?? found.Choice.Broker;
        if (!state.Replicas.Contains(chosen))
            throw new BrokerException(ErrorCode.InvalidReplicaAssignment, $"Broker {chosen} does not hold partition {key}; {string.Join(", ", state.Replicas)} do.");
        if (!peers.IsActive(chosen) || peers.Find(chosen) is not { } silo)
            throw new BrokerException(ErrorCode.BrokerNotAvailable, $"Broker {chosen} is down, so it cannot lead partition {key}.");
        await others.Of(silo).LeadUncleanAsync(GrainKeys.Partition(key.TopicId, key.Partition)).ConfigureAwait(false);
        return chosen;
    }
}
