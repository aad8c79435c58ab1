namespace OrleansMq.Tests.Engine.Crash;

/// <summary>What a disk does to a broker.</summary>
public enum FaultKind
{
    None = 0,
    /// <summary>SIGKILL before an operation: it and all later ones do not happen; what was written stays.</summary>
    ProcessKill = 1,
    /// <summary>SIGKILL within a write: some of its bytes are in the file.</summary>
    TornWrite = 2,
    /// <summary>The power fails before an operation: what was not flushed is kept, lost, torn or zeros, each piece by itself.</summary>
    PowerCut = 3,
    /// <summary>A write stops after some of its bytes with an error; the process goes on.</summary>
    ShortWrite = 4,
    /// <summary>The volume is full for a while: writes stop after some of their bytes with
    /// <see cref="OrleansMq.Storage.DiskFullException"/>.</summary>
    DiskFull = 5,
    /// <summary>A flush fails, and nothing of what it should have made durable is; later flushes do not make up for it.</summary>
    FlushFailure = 6,
    /// <summary>A bit of a file turns over while the broker is down.</summary>
    FlippedBit = 7,
}

/// <summary>A fault that is waiting for its moment.</summary>
/// <param name="Kind">What happens.</param>
/// <param name="After">How many operations that it could hit are let pass.</param>
/// <param name="Writes">For <see cref="FaultKind.DiskFull"/>: how many writes in a row fail.</param>
/// <param name="OnlyPathsWith">When not null, only operations on paths that contain it count.</param>
public sealed record Fault(FaultKind Kind, int After, int Writes = 1, string? OnlyPathsWith = null)
{
    /// <summary>Whether the process does not survive it.</summary>
    public bool IsCrash => Kind is FaultKind.ProcessKill or FaultKind.TornWrite or FaultKind.PowerCut;
}

/// <summary>What every operation says after a crash. Not a fault of the disk: nobody is left to see it.</summary>
public sealed class CrashedException() : IOException("Crashed: this process no longer exists.");
