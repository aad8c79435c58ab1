namespace OrleansMq.Replication;

/// <summary>A broker's view of the other brokers. It may be wrong for a while, which costs time, never records.</summary>
internal interface IMembership
{
    /// <summary>Whether a broker is not declared dead and not stopping, so that it may be in the ISR.</summary>
    bool IsAlive(int broker);

    /// <summary>Whether a member can still lead: its broker is alive and its replica still has that incarnation.</summary>
    bool IsAlive(ReplicaIdentity member);
}
