namespace OrleansMq.Records;

/// <summary>An aborted transaction, as <c>.txnindex</c> has it.</summary>
/// <param name="ProducerId">Its producer.</param>
/// <param name="First">Its first offset.</param>
/// <param name="Last">The offset of its marker.</param>
/// <param name="StableOffset">The last stable offset behind the marker: no transaction that aborts later has a record below it.</param>
internal readonly record struct AbortedTransaction(long ProducerId, long First, long Last, long StableOffset);
