namespace OrleansMq.Diagnostics;

/// <summary>How much a line in the log matters.</summary>
internal enum EngineLogLevel
{
    /// <summary>For who looks for a fault.</summary>
    Debug = 0,
    /// <summary>What an operator may want to know.</summary>
    Information = 1,
    /// <summary>What an operator should look at: nothing acknowledged is lost.</summary>
    Warning = 2,
    /// <summary>What an operator must act on.</summary>
    Error = 3,
}

/// <summary>Where the engine says what it does; a host adapts it to its own logging. Called rarely: never for each batch.</summary>
internal abstract class EngineLog
{
    /// <summary>A log that forgets everything.</summary>
    public static EngineLog Silent { get; } = new SilentLog();

    /// <summary>Writes one line. Must not throw and must not block for long.</summary>
    public abstract void Write(EngineLogLevel level, string message, Exception? exception = null);

    private sealed class SilentLog : EngineLog
    {
        public override void Write(EngineLogLevel level, string message, Exception? exception = null) { }
    }
}
