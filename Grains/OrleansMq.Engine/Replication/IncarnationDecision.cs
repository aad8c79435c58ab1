namespace OrleansMq.Replication;

/// <summary>What is known of a replica's log as it is opened.</summary>
/// <param name="HasIncarnation">The directory names an incarnation: it is not new or wiped.</param>
/// <param name="ClosedCleanly">The last shutdown wrote all out.</param>
/// <param name="SameBoot">The kernel's boot id is that of the last run: a killed process loses nothing that the page cache holds.</param>
/// <param name="CountedOnlyFlushed">Flush policy <c>sync</c> for as long as the incarnation exists: what was ever acknowledged was on
/// stable storage.</param>
/// <param name="FlushFailed">An fsync failed: what it should have written may be gone.</param>
/// <param name="CutMoreThanLastWrite">Recovery cut more than an unfinished last write.</param>
public readonly record struct OpenedLog(bool HasIncarnation, bool ClosedCleanly, bool SameBoot, bool CountedOnlyFlushed, bool FlushFailed,
    bool CutMoreThanLastWrite);

/// <summary>"A member that lost its tail is not a member." Pure.</summary>
internal static class IncarnationDecision
{
    /// <summary>Whether the replica is the member it was, or must take a new incarnation and rejoin by catching up.</summary>
    public static bool MustRenew(OpenedLog log) =>
        !log.HasIncarnation || log.FlushFailed || log.CutMoreThanLastWrite
        || !(log.ClosedCleanly || log.SameBoot || log.CountedOnlyFlushed);

    /// <summary>Whether two identities are the same member: broker and incarnation.</summary>
    public static bool SameMember(ReplicaIdentity one, ReplicaIdentity other) => one == other;
}
