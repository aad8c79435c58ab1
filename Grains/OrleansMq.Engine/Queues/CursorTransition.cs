namespace OrleansMq.Queues;

/// <summary>A change of one cursor, as the log holds it. All outcomes are explicit: applying it needs no clock and no
/// configuration.</summary>
/// <param name="CursorId">The cursor's number in its partition.</param>
/// <param name="Incarnation">The incarnation that it changes; another one ignores it.</param>
internal abstract record CursorTransition(int CursorId, Guid Incarnation);

/// <summary>What changed in one round.</summary>
internal sealed record CursorDelta(int CursorId, Guid Incarnation) : CursorTransition(CursorId, Incarnation)
{
    /// <summary>The settled records.</summary>
    public IReadOnlyList<Settlement> Settlements { get; init; } = [];
    /// <summary>The records that came back, by offset.</summary>
    public IReadOnlyList<ReturnedRecord> Returns { get; init; } = [];
    /// <summary>The records to dead-letter, by sequence; their incarnation is this transition's.</summary>
    public IReadOnlyList<DeadLetterIntent> Intents { get; init; } = [];
    /// <summary>The intents that are done.</summary>
    public IReadOnlyList<FinishedIntent> Finished { get; init; } = [];
    /// <summary>Records below it may be handed out from now on; 0: unchanged.</summary>
    public long DeliveredUpTo { get; init; }
}

/// <summary>
/// All of a cursor's state. With an unknown incarnation it creates or resets the cursor; with the known one it changes the configuration,
/// or
/// repeats the state so that the log before it can go.
/// </summary>
/// <param name="CursorId">The cursor's number in its partition.</param>
/// <param name="Incarnation">Its incarnation.</param>
/// <param name="State">The state as <see cref="CursorStateFormat"/> encodes it. A floor of <see cref="CursorState.Latest"/> stands for the
/// offset of this transition.</param>
internal sealed record CursorStatement(int CursorId, Guid Incarnation, ReadOnlyMemory<byte> State)
    : CursorTransition(CursorId, Incarnation);

/// <summary>The cursor is deleted.</summary>
internal sealed record CursorRemoval(int CursorId, Guid Incarnation) : CursorTransition(CursorId, Incarnation);

/// <summary>Records that are settled for one cause.</summary>
/// <param name="Cause">The cause.</param>
/// <param name="Count">The number of records, without the control, aborted and missing offsets that the ranges may cover.</param>
/// <param name="Ranges">Their offsets, in order.</param>
internal sealed record Settlement(SettlementCause Cause, long Count, IReadOnlyList<OffsetRange> Ranges);

/// <summary>The end of a <see cref="DeadLetterIntent"/>.</summary>
/// <param name="Sequence">The intent.</param>
/// <param name="IsPublished">Whether the target has it; otherwise the target is gone, and the record is dropped for its cause.</param>
internal readonly record struct FinishedIntent(long Sequence, bool IsPublished);
