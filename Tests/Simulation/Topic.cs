using OrleansMq.Replication;

namespace OrleansMq.Tests.Simulation;

/// <summary>A topic of one partition, its stored state, and its checkers. A recreated topic is a different object.</summary>
internal sealed class Topic(int number, Guid id, int[] replicas, bool mayCompact)
{
    public int Number { get; } = number;
    public Guid Id { get; } = id;
    public SimulatedStore Store { get; } = new(PartitionState.Create(id, [.. replicas]));
    public ReplicaChecker Replicas { get; } = new();
    /// <summary>The bytes of its control batches, by their numbers.</summary>
    public List<byte[]> ControlBatches { get; } = [];
    /// <summary>Batches that were told apart by their message ids.</summary>
    public int Repeated { get; set; }
    /// <summary>Statements of message ids.</summary>
    public int Restated { get; set; }
    public ClientChecker Clients { get; } = new(number, mayCompact);
    /// <summary>The leader of the highest epoch that started.</summary>
    public SimulatedBroker? LatestLeader { get; set; }
    public int LatestEpoch { get; set; } = -1;

    /// <summary>The current leader of the highest epoch; null while there is none.</summary>
    public SimulatedBroker? Leader => LatestLeader is { Leads: true } broker && broker.Topic == this && broker.Leader!.Epoch == LatestEpoch
        ? broker : null;
}
