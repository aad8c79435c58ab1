using OrleansMq.Api;

namespace OrleansMq.Partitions;

/// <summary>
/// The rules of a partition's replication, as its append loop and its readers ask for them: what may be appended and read, and when a
/// written batch becomes visible. <see cref="SoleReplication"/> answers for a partition with one replica, a replica for one of several.
/// </summary>
internal interface IPartitionReplication
{
    /// <summary>Whether an append can be refused before its batch is looked at. On any thread, without a lock.</summary>
    ErrorCode RefuseEarly(Acks acks, out string message);

    /// <summary>Whether an append must be refused now. Under the append lock, right before the batch is written.</summary>
    ErrorCode RefuseAppend(Acks acks, out string message);

    /// <summary>An append with <c>acks=all</c> is in the log. Where it waits for other replicas, the replication marks it as waiting and
    /// completes it later. Under the append lock, in the order of the log.</summary>
    void Await(AppendOperation operation);

    /// <summary>Takes over a round that is decided, and of which something is in the log. Under the append lock.</summary>
    /// <param name="records">How many records were written.</param>
    /// <param name="bytes">How many bytes were written.</param>
    /// <param name="now">Milliseconds since 1970.</param>
    /// <returns>The bytes that readers may see at once.</returns>
    /// <exception cref="IOException">The flush that the policy asks for failed.</exception>
    long OnRoundWritten(long records, long bytes, long now);

    /// <summary>Does what became due under the append lock, once that is left.</summary>
    /// <param name="round">The round, without those that wait.</param>
    void AfterRound(AppendRound round);

    /// <summary>Whether reads must be refused. On any thread, without a lock.</summary>
    ErrorCode RefuseRead(out string message);

    /// <summary>Whether the high watermark has reached the start of the leader's epoch. Before that it may be lower than what readers have
    /// seen (KIP-207).</summary>
    bool KnowsLatest { get; }

    /// <summary>The partition's storage failed. On any thread, and under any lock but the append lock.</summary>
    void OnOffline(string reason);
}
