namespace OrleansMq.Queues;

/// <summary>A record that a consumer holds.</summary>
/// <param name="Offset">The record.</param>
/// <param name="Attachment">The consumer.</param>
/// <param name="Since">When it took the record, or while that waits, when it was handed out; milliseconds since 1970.</param>
/// <param name="Counts">The record's counts.</param>
/// <param name="IsWaiting">Whether its consumer has not taken it yet.</param>
/// <param name="LockLeftMs">What is left of its lock as of the cursor's last command, in milliseconds; null: it ends with the
/// consumer.</param>
internal readonly record struct HeldFacts(long Offset, long Attachment, long Since, DeliveryCounts Counts, bool IsWaiting,
    long? LockLeftMs);
