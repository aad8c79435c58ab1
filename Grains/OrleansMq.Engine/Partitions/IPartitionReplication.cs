using OrleansMq.Compaction;

namespace OrleansMq.Partitions;

/// <summary>
/// What a partition's append loop and readers ask of its replication: what may be appended and read, and when a written batch becomes
/// visible. <see cref="SoleReplication"/> implements it for one replica, <c>Replica</c> for one of several.
/// </summary>
internal interface IPartitionReplication : IErasure
{
    /// <summary>Returns the refusal of an append before its batch is checked. On any thread, without a lock.</summary>
    ErrorCode RefuseEarly(Acks acks, out string message);

    /// <summary>Returns the refusal of an append right before its batch is written. Under the append lock.</summary>
    ErrorCode RefuseAppend(Acks acks, out string message);

    /// <summary>Takes an append that is in the log and waits for the in-sync replicas. If there are others, the replication marks it as
    /// waiting and completes it later. Under the append lock, in the order of the log.</summary>
    void Await(AppendOperation operation);

    /// <summary>Takes a decided round with at least one batch in the log. Under the append lock.</summary>
    /// <param name="records">The number of records written.</param>
    /// <param name="bytes">The number of bytes written, without control batches, which wake no reader.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    /// <returns>The bytes that readers may see at once.</returns>
    /// <exception cref="IOException">The flush that the policy requires failed.</exception>
    long OnRoundWritten(long records, long bytes, long now);

    /// <summary>Continues a round after the append lock is released: flushes, or has it flushed, and sends what the round caused.</summary>
    /// <param name="round">The round, without the waiting appends. Those that wait for a flush beside it are removed.</param>
    void AfterRound(AppendRound round);

    /// <summary>Flushes the log, and answers what waited for that. Called by the <see cref="FlushWork"/>, without a lock.</summary>
    void FlushAndAnswer();

    /// <summary>Learns that the log was flushed in the background. On any thread, without a lock.</summary>
    void OnFlushed();

    /// <summary>Completes when no replica that may lead has a record below an offset. Its own log has none any more. Not under the append
    /// lock.</summary>
    /// <returns>Null, or why a new leader may still have some.</returns>
    Task<string?> ReplicateLogStartAsync(long logStart);

    /// <summary>Returns the refusal of a read. On any thread, without a lock.</summary>
    ErrorCode RefuseRead(out string message);

    /// <summary>Whether the high watermark has reached the start of the leader's epoch. Before that, readers may have seen records above
    /// it (KIP-207).</summary>
    bool KnowsLatest { get; }

    /// <summary>The leadership; null while the partition is not led here. On any thread.</summary>
    Leadership? Leadership { get; }

    /// <summary>For how much longer the leadership is surely the only one, in milliseconds; at most one lease, or
    /// <see cref="long.MaxValue"/> if there is no other replica. On any thread.</summary>
    long LeaseLeftMs { get; }

    /// <summary>The time until the leases of earlier leaders have surely ended, in milliseconds. On any thread.</summary>
    long HandOutWaitMs { get; }

    /// <summary>Whether no earlier leader holds a lease any more, and a later one ends this lease before it answers: no replica outside the
    /// ISR may lead. For a reader that may be served, on any thread.</summary>
    bool IsSoleLeader { get; }

    /// <summary>Learns that the partition went offline. On any thread, and under any lock but the append lock.</summary>
    void OnOffline(string reason);
}
