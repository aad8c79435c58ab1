namespace OrleansMq.Replication;

/// <summary>Who lives, as a claim sees it.</summary>
/// <param name="host">Knows the brokers.</param>
/// <param name="lost">Members that are known to be no more: their broker lives, their copy of the log does not.</param>
internal sealed class ClaimMembership(IReplicationHost host, IReadOnlyCollection<ReplicaIdentity> lost) : IMembership
{
    /// <inheritdoc/>
    public bool IsAlive(int broker) => host.IsStaying(broker);

    /// <inheritdoc/>
    public bool IsAlive(ReplicaIdentity member) => host.IsAlive(member.Broker) && !lost.Contains(member);
}
