namespace OrleansMq;

/// <summary>Which records a reader sees, regarding transactions.</summary>
public enum IsolationLevel : sbyte
{
    /// <summary>All records up to the high watermark.</summary>
    ReadUncommitted = 0,
    /// <summary>Only records of committed transactions, and of none, up to the last stable offset: the first record of a transaction that
    /// is open.</summary>
    ReadCommitted = 1,
}
