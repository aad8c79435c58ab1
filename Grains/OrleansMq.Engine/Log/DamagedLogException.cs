namespace OrleansMq.Log;

/// <summary>Bytes on disk differ from those that were written.</summary>
internal sealed class DamagedLogException(string path, long position, long offset, string what, Exception? inner = null)
    : IOException($"'{path}' is damaged at byte {position} (offset {offset}): {what}. Restore the partition's directory from a copy or a "
        + "replica, or move it away to go on without its records; then restart the broker.", inner)
{
    /// <summary>The file.</summary>
    public string Path { get; } = path;
    /// <summary>The position of the batch's first byte.</summary>
    public long Position { get; } = position;
    /// <summary>The offset expected there.</summary>
    public long Offset { get; } = offset;
}
