using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>A topic of one partition, its stored state, and those who judge it. One that is deleted and created again is another.</summary>
internal sealed class Topic(int number, Guid id, int[] replicas, int minInsync, bool mayCompact)
{
    public int Number { get; } = number;
    public Guid Id { get; } = id;
    public SimulatedStore Store { get; } = new(PartitionState.Create(id, [.. replicas]));
    public ReplicaChecker Replicas { get; } = new(minInsync);
    public ClientChecker Clients { get; } = new(number, mayCompact);
    /// <summary>Who leads the highest epoch that began.</summary>
    public SimulatedBroker? LatestLeader { get; set; }
    public int LatestEpoch { get; set; } = -1;

    /// <summary>Who leads the highest epoch there is; null while nobody does.</summary>
    public SimulatedBroker? Leader => LatestLeader is { Leads: true } broker && broker.Topic == this && broker.Leader!.Epoch == LatestEpoch
        ? broker : null;
}
