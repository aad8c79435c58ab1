namespace OrleansMq.Log;

/// <summary>A batch boundary in a partition's log: an offset and its position on disk.</summary>
/// <param name="Offset">All lower offsets are before this position.</param>
/// <param name="SegmentBase">The base offset of the segment, which names its file.</param>
/// <param name="Position">The byte in the segment's <c>.log</c> file.</param>
internal readonly record struct LogPosition(long Offset, long SegmentBase, long Position)
{
    /// <summary>An unknown position.</summary>
    public static readonly LogPosition None = new(-1, -1, -1);

    /// <summary>Whether the position is known.</summary>
    public bool IsKnown => Offset >= 0;

    /// <inheritdoc/>
    public override string ToString() => IsKnown ? $"offset {Offset} ({LogFiles.Name(SegmentBase, LogFiles.Log)} at {Position})" : "none";
}
