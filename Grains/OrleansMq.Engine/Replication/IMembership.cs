namespace OrleansMq.Replication;

/// <summary>What a broker believes of the others. It may be wrong for a while: that costs time, never records.</summary>
internal interface IMembership
{
    /// <summary>Whether a broker is not declared dead, and does not stop: such are in the ISR.</summary>
    bool IsAlive(int broker);

    /// <summary>Whether a member can still lead: its broker is alive and its replica still has that incarnation.</summary>
    bool IsAlive(ReplicaIdentity member);
}
