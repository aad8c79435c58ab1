namespace OrleansMq.Producers;

/// <summary>What the coordinator said of the transaction that a batch belongs to. The first batch of a transaction in a partition is
/// appended with it alone: without it an open transaction could name no document, and nothing would end it.</summary>
/// <param name="Number">The transaction's number; 0: the coordinator was not asked. A number that the marker of its transaction, or of a
/// later one, has ended here opens nothing any more.</param>
/// <param name="StartsAtZero">Whether the producer's sequences start at 0 with each transaction (KIP-890). Then a first batch with another
/// one shows that an earlier batch is missing.</param>
internal readonly record struct VerifiedTransaction(long Number, bool StartsAtZero = false);
