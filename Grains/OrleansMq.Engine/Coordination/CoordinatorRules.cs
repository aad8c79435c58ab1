namespace OrleansMq.Coordination;

/// <summary>The rules by which a coordinator owns its documents. Virtual for mutants: see
/// <see cref="Replication.ReplicationRules"/>.</summary>
internal class CoordinatorRules
{
    /// <summary>Whether a document was written by another coordinator: after this one's claim, or with an epoch that this one does not
    /// exceed.</summary>
    public virtual bool IsOthers(CoordinatorClaim writer, CoordinatorClaim own, bool wasEverClaimed) =>
        writer.Token != own.Token && (wasEverClaimed || writer.Epoch >= own.Epoch);

    /// <summary>Whether a document that was read carries this coordinator's claim. One that does not is written before any
    /// answer.</summary>
    public virtual bool IsClaimed(int document, CoordinatorClaim? writer, CoordinatorClaim own) => writer == own;

    /// <summary>Whether an answer that reveals a version may be released.</summary>
    public virtual bool IsStored(int document, long revealed, long stored) => revealed <= stored;

    /// <summary>The version that is stored when a write is done: the one written, without the changes since.</summary>
    public virtual long StoredBy(long written, long working) => written;

    /// <summary>Whether to read what is stored again, since a write may not have taken place.</summary>
    public virtual bool MustReadAfter(StoreFailed failed) => true;

    /// <summary>Whether a write that failed may still be carried out, after the next read: the store gave no answer.</summary>
    public static bool MayStillBeStored(StoreFailed failed) => failed is { IsConflict: false, IsLimit: false };

    /// <summary>The first read or write of the store that confirms a request which came when <paramref name="begun"/> of them had been
    /// begun. It is the next one: one that is under way may have taken place before the request.</summary>
    public virtual long ConfirmedFrom(long begun) => begun + 1;
}
