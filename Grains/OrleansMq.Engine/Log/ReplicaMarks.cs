namespace OrleansMq.Log;

/// <summary>What a replica's disk keeps beside its log, for the protocol of replication. All of it empty: the log was never
/// replicated.</summary>
/// <param name="Incarnation">Which copy of the log this is; empty where none is known any more.</param>
/// <param name="BootId">The kernel's boot under which the log was written last; empty where it is not known.</param>
/// <param name="Fence">The highest leader epoch seen; 0 before the first.</param>
/// <param name="CountedOnlyFlushed">What this incarnation ever acknowledged was on stable storage before.</param>
/// <param name="HighWatermark">A high watermark that was reached. Written along with the rest, so it may lag far behind.</param>
internal readonly record struct ReplicaMarks(Guid Incarnation, Guid BootId, int Fence, bool CountedOnlyFlushed, long HighWatermark);
