namespace OrleansMq.Log;

/// <summary>A write failed, and what it left could not be cut off. Never a fault that passes, whatever its cause was.</summary>
internal sealed class WriteNotUndoneException(string path, long size, Exception inner)
    : IOException($"'{path}' could not be cut to its {size} bytes after a failed write: {inner.Message}", inner);
