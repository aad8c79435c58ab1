namespace OrleansMq.Log;

/// <summary>The log was cut, or emptied, while it was read: what the read found says nothing of the log. Never a sign of damage.</summary>
internal sealed class CutDuringReadException(string directory, Exception inner)
    : IOException($"The log of '{directory}' was cut while it was read. Retry.", inner);
