namespace OrleansMq.Compaction;

/// <summary>
/// What must know before a cleaning erases records: removes them without a trace, as expired tombstones. Another copy of the log that has
/// not taken them yet could never take them any more.
/// </summary>
/// <remarks>Used in this order: the limit, the mark in the log (<see cref="Log.CompactionProgress.Erase"/>), the announcement, the
/// replacement of the segment.</remarks>
internal interface IErasure
{
    /// <summary>Records at or above it must not be erased for now; <see cref="long.MaxValue"/> for no limit.</summary>
    long EraseLimit { get; }

    /// <summary>Learns that the mark was raised, and that the records go after this call.</summary>
    void BeforeErasing();
}
