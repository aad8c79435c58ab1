namespace OrleansMq.Replication;

/// <summary>The live members, as a claim sees them.</summary>
/// <param name="host">Knows the live brokers.</param>
/// <param name="lost">Members known to be gone: their broker is alive, but its copy of the log is another one.</param>
internal sealed class ClaimMembership(IReplicationHost host, IReadOnlyCollection<ReplicaIdentity> lost) : IMembership
{
    /// <inheritdoc/>
    public bool IsAlive(int broker) => host.IsStaying(broker);

    /// <inheritdoc/>
    public bool IsAlive(ReplicaIdentity member) => host.IsAlive(member.Broker) && !lost.Contains(member);
}
