namespace OrleansMq.Replication;

/// <summary>What is known of a replica's log when it is opened.</summary>
/// <param name="HasIncarnation">The directory has an incarnation: it is neither new nor wiped.</param>
/// <param name="ClosedCleanly">The last shutdown wrote everything out.</param>
/// <param name="SameBoot">The kernel's boot id is that of the last run: a killed process loses nothing that the page cache holds.</param>
/// <param name="CountedOnlyFlushed">Flush policy <c>sync</c> during the whole incarnation: everything acknowledged was on stable
/// storage.</param>
/// <param name="FlushFailed">An fsync failed, so its records may be lost.</param>
/// <param name="CutMoreThanLastWrite">Recovery cut more than an unfinished last write.</param>
internal readonly record struct OpenedLog(bool HasIncarnation, bool ClosedCleanly, bool SameBoot, bool CountedOnlyFlushed, bool FlushFailed,
    bool CutMoreThanLastWrite);

/// <summary>Decides about a replica's identity: a member that lost its tail is not the same member. Pure.</summary>
internal static class IncarnationDecision
{
    /// <summary>Whether the replica must take a new incarnation and rejoin by catching up, instead of staying the same member.</summary>
    public static bool MustRenew(OpenedLog log) =>
        !log.HasIncarnation || log.FlushFailed || log.CutMoreThanLastWrite
        || !(log.ClosedCleanly || log.SameBoot || log.CountedOnlyFlushed);

    /// <summary>Whether two identities are the same member: broker and incarnation.</summary>
    public static bool SameMember(ReplicaIdentity one, ReplicaIdentity other) => one == other;
}
