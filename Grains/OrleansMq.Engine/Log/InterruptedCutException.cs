namespace OrleansMq.Log;

/// <summary>A cut of the log was interrupted, for lack of handles, memory or space. Its files are left as they are until it is opened
/// again.</summary>
internal sealed class InterruptedCutException(string path)
    : IOException($"The log of '{path}' was interrupted while it was cut, and has to be opened again.");
