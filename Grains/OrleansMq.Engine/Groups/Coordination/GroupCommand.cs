using OrleansMq.Api;

namespace OrleansMq.Groups.Coordination;

/// <summary>What comes to a <see cref="GroupCore"/>.</summary>
public abstract record GroupCommand;

/// <summary>A request; answered by exactly one <see cref="Reply"/>, now or later.</summary>
/// <param name="RequestId">The caller's number for it; comes back with the answer.</param>
/// <param name="Body">The request.</param>
/// <param name="FreshId">An id never used before, for a member that comes without one. Only <see cref="JoinGroup"/> and
/// <see cref="ConsumerGroupHeartbeat"/> need it.</param>
public sealed record GroupRequest(long RequestId, IGroupRequest Body, Guid FreshId = default) : GroupCommand;

/// <summary>The caller of a request waits no longer: its answer will be thrown away. A member stays one until its session ends, which
/// begins now.</summary>
/// <param name="RequestId">Which.</param>
public sealed record AbandonRequest(long RequestId) : GroupCommand;

/// <summary>A write is stored, or a delete done.</summary>
/// <param name="Document">Which document.</param>
/// <param name="Version">As given with <see cref="Store"/>.</param>
public sealed record StoreCompleted(GroupDocumentKind Document, long Version) : GroupCommand;

/// <summary>A write failed, lost its compare-and-swap, or nobody knows. What is stored is read again.</summary>
/// <param name="Document">Which document.</param>
/// <param name="Reason">For the log and the callers.</param>
/// <param name="IsConflict">It lost its compare-and-swap: most likely to another coordinator.</param>
public sealed record StoreFailed(GroupDocumentKind Document, string Reason, bool IsConflict = false) : GroupCommand;

/// <summary>The answer to <see cref="ReadStored"/>.</summary>
/// <param name="Stored">What is stored now.</param>
public sealed record ReadCompleted(StoredGroup Stored) : GroupCommand;

/// <summary>What is stored could not be read.</summary>
/// <param name="Reason">For the log and the callers.</param>
public sealed record ReadFailed(string Reason) : GroupCommand;

/// <summary>The answer to <see cref="ConfirmClaim"/>.</summary>
/// <param name="Number">As given with it.</param>
/// <param name="Coordinator">Who wrote the offsets that are stored; null: there are none.</param>
public sealed record ClaimRead(long Number, CoordinatorClaim? Coordinator) : GroupCommand;

/// <summary>Who wrote the offsets could not be read.</summary>
/// <param name="Number">As given with <see cref="ConfirmClaim"/>.</param>
/// <param name="Reason">For the callers.</param>
public sealed record ClaimReadFailed(long Number, string Reason) : GroupCommand;

/// <summary>The time of the last <see cref="WakeAt"/> has come.</summary>
public sealed record Wake : GroupCommand;

/// <summary>A newer image of the topics.</summary>
/// <param name="Topics">All of them.</param>
public sealed record TopicsChanged(GroupTopics Topics) : GroupCommand;

/// <summary>A group's two documents; null where there is none.</summary>
/// <param name="Group">Members and generation.</param>
/// <param name="Offsets">What is committed.</param>
public sealed record StoredGroup(GroupDocument? Group, GroupOffsetsDocument? Offsets)
{
    /// <summary>No document at all.</summary>
    public static StoredGroup None { get; } = new(null, null);
}
