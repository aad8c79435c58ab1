namespace OrleansMq.Replication;

/// <summary>What a role wants done outside. The host does it in this order and brings the answers back as inputs.</summary>
internal abstract record ReplicationEffect;

/// <summary>Sends a message; it may be lost.</summary>
internal sealed record SendMessage(int To, ReplicationMessage Message) : ReplicationEffect;

/// <summary>Reads the partition's state; answer with <see cref="LeaderReplica.OnStateRead"/>, or <see cref="LeaderReplica.OnStateFailed"/>.</summary>
internal sealed record ReadState(long Operation) : ReplicationEffect;

/// <summary>Writes the state if <paramref name="ETag"/> is still stored; answer with <see cref="LeaderReplica.OnStateWritten"/>, or <see cref="LeaderReplica.OnStateFailed"/>.</summary>
internal sealed record WriteState(long Operation, PartitionState State, string? ETag) : ReplicationEffect;

/// <summary>Answers an append.</summary>
/// <param name="Waiter">As given with the append.</param>
/// <param name="Error"><see cref="ErrorCode.RequestTimedOut"/>: the outcome is unknown.</param>
/// <param name="BaseOffset">Where the batch is; -1 with an error.</param>
internal sealed record CompleteAppend(long Waiter, ErrorCode Error, long BaseOffset) : ReplicationEffect;
