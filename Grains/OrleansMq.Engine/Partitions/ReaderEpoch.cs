namespace OrleansMq.Partitions;

/// <summary>Whether a reader's view of the leader's epoch is the leader's own (KIP-320). Pure.</summary>
internal static class ReaderEpoch
{
    /// <summary>The decision.</summary>
    /// <param name="reader">The epoch that the reader has met; negative: not checked.</param>
    /// <param name="leader">The epoch that is led.</param>
    /// <returns><see cref="ErrorCode.None"/>, <see cref="ErrorCode.FencedLeaderEpoch"/> where the reader is behind,
    /// <see cref="ErrorCode.UnknownLeaderEpoch"/> where the leader is.</returns>
    public static ErrorCode Check(int reader, int leader) =>
        reader < 0 || reader == leader ? ErrorCode.None
        : reader < leader ? ErrorCode.FencedLeaderEpoch : ErrorCode.UnknownLeaderEpoch;
}
