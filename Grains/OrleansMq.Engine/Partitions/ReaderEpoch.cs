namespace OrleansMq.Partitions;

/// <summary>Whether a reader's view of the leader's epoch is the leader's own (KIP-320). Pure.</summary>
internal static class ReaderEpoch
{
    /// <summary>Compares the two epochs.</summary>
    /// <param name="reader">The latest epoch that the reader knows; negative: not checked.</param>
    /// <param name="leader">The leader's epoch.</param>
    /// <returns><see cref="ErrorCode.None"/>, <see cref="ErrorCode.FencedLeaderEpoch"/> if the reader is behind,
    /// <see cref="ErrorCode.UnknownLeaderEpoch"/> if the leader is.</returns>
    public static ErrorCode Check(int reader, int leader) =>
        reader < 0 || reader == leader ? ErrorCode.None
        : reader < leader ? ErrorCode.FencedLeaderEpoch : ErrorCode.UnknownLeaderEpoch;
}
