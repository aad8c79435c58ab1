using OrleansMq.Diagnostics;

namespace OrleansMq.Coordination;

/// <summary>Output of a <see cref="CoordinatorCore"/>, carried out in order.</summary>
internal abstract record CoordinatorEffect;

/// <summary>Answers a request. All that the answer reveals is stored.</summary>
/// <param name="RequestId">The request.</param>
/// <param name="Result">The answer, or the refusal that <see cref="Api.ICoordinatorRequest.Refuse"/> makes.</param>
internal sealed record Reply(long RequestId, object Result) : CoordinatorEffect;

/// <summary>
/// Writes or deletes a document, by compare-and-swap against what was last read or written of it; answered by
/// <see cref="StoreCompleted"/> or <see cref="StoreFailed"/>. At most one is in flight for each document.
/// </summary>
/// <param name="Document">The document's position among those of the coordinator.</param>
/// <param name="Version">Comes back with the answer.</param>
/// <param name="Content">What to write; it never changes, so another thread may serialize it. Null: delete the document.</param>
internal sealed record Store(int Document, long Version, IOwnedDocument? Content) : CoordinatorEffect;

/// <summary>Reads all documents, when no write is in flight any more; answered by <see cref="ReadCompleted"/> or
/// <see cref="ReadFailed"/>.</summary>
internal sealed record ReadStored : CoordinatorEffect;

/// <summary>
/// Reads the claim in the last document, at once, whatever else is in flight; answered by <see cref="ClaimRead"/> or
/// <see cref="ClaimReadFailed"/>. At most one is in flight.
/// </summary>
/// <param name="Number">Comes back with the answer.</param>
internal sealed record ConfirmClaim(long Number) : CoordinatorEffect;

/// <summary>Asks for a <see cref="Wake"/> at a time, instead of the one asked for before.</summary>
/// <param name="Time">The time; null: none.</param>
internal sealed record WakeAt(DateTimeOffset? Time) : CoordinatorEffect;

/// <summary>Another coordinator owns the documents. All requests are answered with <see cref="ErrorCode.NotCoordinator"/>, and so are all
/// that follow: drop the core.</summary>
internal sealed record Deposed : CoordinatorEffect;

/// <summary>A line for the log.</summary>
/// <param name="Level">Its level.</param>
/// <param name="Message">The event.</param>
internal sealed record LogLine(EngineLogLevel Level, string Message) : CoordinatorEffect;
