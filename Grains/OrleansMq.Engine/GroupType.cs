namespace OrleansMq;

/// <summary>The protocol of a group.</summary>
public enum GroupType
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>The classic protocol: join, sync, heartbeat, leave.</summary>
    Classic = 1,
    /// <summary>The consumer protocol (KIP-848).</summary>
    Consumer = 2,
    /// <summary>A share group (KIP-932): members consume the same partitions, record by record.</summary>
    Share = 3,
}
