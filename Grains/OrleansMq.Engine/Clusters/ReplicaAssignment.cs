using System.Collections.Immutable;
using OrleansMq.Topics;

namespace OrleansMq.Clusters;

/// <summary>
/// Places the replicas of new partitions. Based on what the brokers hold already, so that many small topics are spread as evenly as one
/// large one. Ties are broken in turn, so that partitions do not accumulate on brokers with low ids.
/// </summary>
internal static class ReplicaAssignment
{
    /// <summary>Chooses the replicas of new partitions. The first replica, the preferred leader, goes to the broker with the fewest. The
    /// others go to racks without a replica of the partition if possible, then to the brokers with the fewest.</summary>
    /// <param name="image">The cluster; dead or draining brokers get no replicas.</param>
    /// <param name="count">The number of partitions.</param>
    /// <param name="replicationFactor">The number of replicas of each.</param>
    /// <param name="turn">Where ties begin. Topics that are created at the same time do not see each other in the image; with a turn of
    /// their own they still do not all begin on the same broker.</param>
    /// <returns>The replicas by partition, or <see cref="ErrorCode.InvalidReplicationFactor"/>.</returns>
    public static TopicDecision<ImmutableArray<ImmutableArray<int>>> Assign(ClusterImage image, int count, int replicationFactor,
        int turn = 0)
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
            var replicas = ChooseReplicas(loads, taking, replicationFactor, turn + number);
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
