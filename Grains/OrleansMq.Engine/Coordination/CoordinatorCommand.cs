using OrleansMq.Api;

namespace OrleansMq.Coordination;

/// <summary>Input of a <see cref="CoordinatorCore"/>.</summary>
internal abstract record CoordinatorCommand;

/// <summary>A request; answered by exactly one <see cref="Reply"/>, now or later.</summary>
/// <param name="RequestId">The caller's number for it; comes back with the answer.</param>
/// <param name="Body">The request.</param>
/// <param name="FreshId">An id never used before, where <see cref="ICoordinatorRequest.NeedsFreshId"/>.</param>
internal sealed record CoordinatorRequest(long RequestId, ICoordinatorRequest Body, Guid FreshId = default) : CoordinatorCommand;

/// <summary>The caller of a request no longer waits: its answer will be dropped.</summary>
/// <param name="RequestId">The request.</param>
internal sealed record AbandonRequest(long RequestId) : CoordinatorCommand;

/// <summary>A write is stored, or a delete done.</summary>
/// <param name="Document">The document's position among those of the coordinator.</param>
/// <param name="Version">As given with <see cref="Store"/>.</param>
internal sealed record StoreCompleted(int Document, long Version) : CoordinatorCommand;

/// <summary>A write failed, lost its compare-and-swap, or has an unknown outcome. The core reads what is stored again.</summary>
/// <param name="Document">The document's position among those of the coordinator.</param>
/// <param name="Reason">For the log and the callers.</param>
/// <param name="IsConflict">It lost its compare-and-swap: most likely to another coordinator.</param>
internal sealed record StoreFailed(int Document, string Reason, bool IsConflict = false) : CoordinatorCommand
{
    /// <summary>There are as many coordinators of the kind as may be: nothing was written, and a retry does not help.</summary>
    public bool IsLimit { get; init; }
}

/// <summary>The answer to <see cref="ReadStored"/>.</summary>
/// <param name="Stored">What is stored now.</param>
internal sealed record ReadCompleted(StoredDocuments Stored) : CoordinatorCommand;

/// <summary>The read of what is stored failed.</summary>
/// <param name="Reason">For the log and the callers.</param>
internal sealed record ReadFailed(string Reason) : CoordinatorCommand;

/// <summary>The answer to <see cref="ConfirmClaim"/>.</summary>
/// <param name="Number">As given with it.</param>
/// <param name="Coordinator">The coordinator that wrote the last document; null: there is no such document.</param>
internal sealed record ClaimRead(long Number, CoordinatorClaim? Coordinator) : CoordinatorCommand;

/// <summary>The read of the last document's claim failed.</summary>
/// <param name="Number">As given with <see cref="ConfirmClaim"/>.</param>
/// <param name="Reason">For the callers.</param>
internal sealed record ClaimReadFailed(long Number, string Reason) : CoordinatorCommand;

/// <summary>The time of the last <see cref="WakeAt"/> has come.</summary>
internal sealed record Wake : CoordinatorCommand;
