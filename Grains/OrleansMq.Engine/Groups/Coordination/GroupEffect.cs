using OrleansMq.Api;

namespace OrleansMq.Groups.Coordination;

/// <summary>What a <see cref="GroupCore"/> wants done, in this order.</summary>
public abstract record GroupEffect;

/// <summary>Answers a request; what the answer reveals is stored.</summary>
/// <param name="RequestId">Which.</param>
/// <param name="Result">The type that goes with the request; a <see cref="GroupReply"/> for requests of administration that are
/// refused.</param>
public sealed record Reply(long RequestId, object Result) : GroupEffect;

/// <summary>
/// Writes or deletes a document, by compare-and-swap against what was last read or written of it; answer with <see cref="StoreCompleted"/>
/// or <see cref="StoreFailed"/>. At most one is in flight for each document. The documents never change: they may be serialized on another
/// thread.
/// </summary>
/// <param name="Document">Which document.</param>
/// <param name="Version">Comes back with the answer.</param>
/// <param name="Group">What to write, of <see cref="GroupDocumentKind.Group"/>; null to delete it.</param>
/// <param name="Offsets">What to write, of <see cref="GroupDocumentKind.Offsets"/>; null to delete it.</param>
public sealed record Store(GroupDocumentKind Document, long Version, GroupDocument? Group, GroupOffsetsContent? Offsets) : GroupEffect;

/// <summary>Offsets on their way to a document.</summary>
/// <param name="Coordinator">Who writes them.</param>
/// <param name="Offsets">All of them.</param>
public sealed record GroupOffsetsContent(CoordinatorClaim Coordinator, Offsets.GroupOffsets Offsets)
{
    /// <summary>The document.</summary>
    public GroupOffsetsDocument ToDocument() => GroupOffsetsDocument.Of(Coordinator, Offsets);
}

/// <summary>Reads both documents, when no write is in flight any more; answer with <see cref="ReadCompleted"/> or
/// <see cref="ReadFailed"/>.</summary>
public sealed record ReadStored : GroupEffect;

/// <summary>
/// Reads who wrote the offsets last, at once, whatever else is in flight; answer with <see cref="ClaimRead"/> or
/// <see cref="ClaimReadFailed"/>. At most one is in flight.
/// </summary>
/// <param name="Number">Comes back with the answer.</param>
public sealed record ConfirmClaim(long Number) : GroupEffect;

/// <summary>Wants a <see cref="Wake"/> at that time, instead of the one that was asked for before.</summary>
/// <param name="Time">When; null: not at all.</param>
public sealed record WakeAt(DateTimeOffset? Time) : GroupEffect;

/// <summary>Another coordinator owns the group: all requests were answered with <see cref="ErrorCode.NotCoordinator"/>, and so will all
/// that follow. Drop the core.</summary>
public sealed record Deposed : GroupEffect;

/// <summary>A line for the log.</summary>
/// <param name="Level">How much it matters.</param>
/// <param name="Message">What happened.</param>
public sealed record LogLine(Diagnostics.EngineLogLevel Level, string Message) : GroupEffect;
