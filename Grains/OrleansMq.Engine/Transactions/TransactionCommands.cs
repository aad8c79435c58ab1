using OrleansMq.Coordination;

namespace OrleansMq.Transactions;

/// <summary>Tells all partitions and groups of the transaction's end, again and again until each knows; answered by
/// <see cref="ParticipantsEnded"/>, or by <see cref="CoordinatorFenced"/>. A later one replaces it.</summary>
/// <param name="State">The decided transaction, which is stored.</param>
/// <param name="CoordinatorEpoch">The coordinator's epoch.</param>
internal sealed record EndParticipants(TransactionState State, int CoordinatorEpoch) : CoordinatorEffect;

/// <summary>Takes a producer id that was never used; answered by <see cref="ProducerIdTaken"/> or <see cref="ProducerIdNotTaken"/>. One at
/// a time.</summary>
internal sealed record TakeProducerId : CoordinatorEffect;

/// <summary>Producer ids that no log of an open transaction names any more: what is noted of them may be forgotten. Nothing
/// answers.</summary>
/// <param name="ProducerIds">The ids.</param>
internal sealed record ReleaseProducerIds(IReadOnlyList<long> ProducerIds) : CoordinatorEffect;

/// <summary>All partitions and groups know of the end.</summary>
/// <param name="Number">The transaction's number.</param>
internal sealed record ParticipantsEnded(long Number) : CoordinatorCommand;

/// <summary>A partition or group knows a higher epoch of a coordinator, as after the restore of a database.</summary>
/// <param name="Number">The transaction's number.</param>
/// <param name="CoordinatorEpoch">The epoch that was too low.</param>
internal sealed record CoordinatorFenced(long Number, int CoordinatorEpoch) : CoordinatorCommand;

/// <summary>The answer to <see cref="TakeProducerId"/>.</summary>
/// <param name="ProducerId">The id.</param>
internal sealed record ProducerIdTaken(long ProducerId) : CoordinatorCommand;

/// <summary>No id could be taken.</summary>
/// <param name="Reason">For the callers.</param>
internal sealed record ProducerIdNotTaken(string Reason) : CoordinatorCommand;
