namespace OrleansMq.Log;

/// <summary>What a replica stores beside its log for the replication protocol. All empty if the log was never replicated.</summary>
/// <param name="Incarnation">Identifies this copy of the log; empty if none is known any more.</param>
/// <param name="BootId">The kernel's boot during which the log was last written; empty if not known.</param>
/// <param name="Fence">The highest leader epoch seen; 0 before the first.</param>
/// <param name="CountedOnlyFlushed">Whether this incarnation has acknowledged only records that were on stable storage.</param>
/// <param name="HighWatermark">A high watermark that was reached. It is written along with the rest, so it may lag far behind.</param>
internal readonly record struct ReplicaMarks(Guid Incarnation, Guid BootId, int Fence, bool CountedOnlyFlushed, long HighWatermark);
