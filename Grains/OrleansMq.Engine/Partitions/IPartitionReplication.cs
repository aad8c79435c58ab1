using OrleansMq.Api;

namespace OrleansMq.Partitions;

/// <summary>What a replicated partition asks whoever replicates it.</summary>
internal interface IPartitionReplication
{
    /// <summary>Whether this replica leads: who asks it to append otherwise is turned away at once. On any thread, without a
    /// lock.</summary>
    bool IsLed(out string message);

    /// <summary>Whether a batch must be refused. Under the append lock.</summary>
    ErrorCode RefuseAppend(Acks acks, out string message);

    /// <summary>The round's batches are in the log: takes those out of the round that wait for other replicas, and completes them itself.
    /// Under the append lock.</summary>
    /// <param name="round">Every operation of it is decided.</param>
    /// <param name="bytes">The bytes that were written.</param>
    void OnRoundWritten(AppendRound round, long bytes);

    /// <summary>The append lock is left: does what became due under it.</summary>
    void AfterRound();

    /// <summary>Under <c>sync</c>: what was written is on stable storage, too. On no lock.</summary>
    void OnFlushed();

    /// <summary>Whether reads must be refused. On any thread, without a lock.</summary>
    ErrorCode RefuseRead(out string message);

    /// <summary>Whether the high watermark has reached the start of the leader's epoch: before, it may be lower than what readers have seen
    /// (KIP-207).</summary>
    bool KnowsLatest { get; }

    /// <summary>The partition's storage failed. On any thread, and under any lock but the append lock.</summary>
    void OnOffline(string reason);
}
