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
    /// <summary>Every in-sync replica, in memory: as <see cref="All"/>, but without waiting for a flush. For messages that need not survive
    /// a power cut. The batch survives killed processes; a power cut within the time of a flush may lose it. Under the flush policies
    /// <c>none</c> and <c>interval</c> it is the same as <see cref="All"/>.</summary>
    Replicated = 2,
}

/// <summary>What the levels have in common.</summary>
internal static class AcksLevels
{
    /// <summary>The levels that an error names.</summary>
    public const string Allowed = "0, 1, -1 (all) and 2 (replicated)";

    /// <summary>Whether the value is a level.</summary>
    public static bool IsKnown(this Acks acks) => acks is >= Acks.All and <= Acks.Replicated;

    /// <summary>Returns the level of a batch for which a sender asks.</summary>
    /// <param name="acks">The level that the sender asks for.</param>
    /// <param name="isPersistent">Whether any of its records must survive a power cut.</param>
    public static Acks Of(Acks acks, bool isPersistent) => acks == Acks.All && !isPersistent ? Acks.Replicated : acks;

    /// <summary>Whether the append waits for the in-sync replicas, and needs enough of them.</summary>
    public static bool WaitsForReplicas(this Acks acks) => acks is Acks.All or Acks.Replicated;
}
