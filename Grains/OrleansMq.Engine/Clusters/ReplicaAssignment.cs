using System.Collections.Immutable;
using OrleansMq.Topics;

namespace OrleansMq.Clusters;

/// <summary>
/// Which brokers hold a new partition. By what the brokers hold already, so that many small topics are spread as evenly as one large one;
/// ties are broken in turn, so that a topic's partitions do not pile up where the numbers are low.
/// </summary>
public static class ReplicaAssignment
{
    /// <summary>Chooses the replicas of new partitions: the first of each, its preferred leader, where the fewest are; the others on racks
    /// that the partition has no replica on, as far as there are any, then where the fewest are.</summary>
    /// <param name="image">The cluster; brokers that are dead or being drained get none.</param>
    /// <param name="count">How many partitions.</param>
    /// <param name="replicationFactor">How many replicas each.</param>
    /// <returns>The replicas by partition, or <see cref="ErrorCode.InvalidReplicationFactor"/>.</returns>
    public static TopicDecision<ImmutableArray<ImmutableArray<int>>> Assign(ClusterImage image, int count, int replicationFactor)
    {
        var loads = new BrokerLoads(image);
        var taking = loads.Taking.ToArray();
        if (replicationFactor < 1 || replicationFactor > taking.Length)
            return TopicDecision<ImmutableArray<ImmutableArray<int>>>.Refuse(ErrorCode.InvalidReplicationFactor,
                $"A replication factor of {replicationFactor} is not possible: {taking.Length} "
                + $"broker{(taking.Length == 1 ? " is" : "s are")} alive and "
                    + "not being drained. Start more brokers, or ask for fewer replicas.");
        var assigned = ImmutableArray.CreateBuilder<ImmutableArray<int>>(count);
        for (var number = 0; number < count; number++)
        {
            var replicas = ChooseReplicas(loads, taking, replicationFactor, turn: number);
            loads.Add(replicas);
            assigned.Add(replicas);
        }
        return TopicDecision<ImmutableArray<ImmutableArray<int>>>.Accept(assigned.MoveToImmutable());
    }

    private static ImmutableArray<int> ChooseReplicas(BrokerLoads loads, BrokerLoads.Load[] taking, int replicationFactor, int turn)
    {
        var leader = taking.OrderBy(load => load.Leaders).ThenBy(load => load.Replicas).ThenBy(load => Turn(load, taking, turn)).First();
        var chosen = ImmutableArray.CreateBuilder<int>(replicationFactor);
        chosen.Add(leader.Broker);
        while (chosen.Count < replicationFactor)
        {
            var racks = chosen.Select(loads.RackOf).ToHashSet();
            chosen.Add(taking.Where(load => !chosen.Contains(load.Broker))
                .OrderBy(load => racks.Contains(loads.RackOf(load.Broker)))
                .ThenBy(load => load.Replicas)
                .ThenBy(load => Turn(load, taking, turn + chosen.Count))
                .First().Broker);
        }
        return chosen.MoveToImmutable();
    }

    private static int Turn(BrokerLoads.Load load, BrokerLoads.Load[] taking, int turn) =>
        (Array.IndexOf(taking, load) - (turn % taking.Length) + taking.Length) % taking.Length;
}
