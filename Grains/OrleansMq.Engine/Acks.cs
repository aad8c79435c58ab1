namespace OrleansMq;

/// <summary>How many replicas must hold a batch before it is acknowledged.</summary>
public enum Acks : sbyte
{
    /// <summary>Every in-sync replica (on disk, under the flush policy <c>sync</c>).</summary>
    All = -1,
    /// <summary>None: the batch is written, but the sender does not wait for an acknowledgement.</summary>
    None = 0,
    /// <summary>The leader alone.</summary>
    Leader = 1,
}
