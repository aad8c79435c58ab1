namespace OrleansMq.Tests.Engine.Crash;

/// <summary>The faults of a disk.</summary>
public enum FaultKind
{
    None = 0,
    /// <summary>SIGKILL before an operation: neither it nor any later one happens, and written bytes stay.</summary>
    ProcessKill = 1,
    /// <summary>SIGKILL within a write: some of its bytes are in the file.</summary>
    TornWrite = 2,
    /// <summary>The power fails before an operation: each unflushed piece is kept, lost, torn or zeroed independently.</summary>
    PowerCut = 3,
    /// <summary>A write fails after some of its bytes; the process continues.</summary>
    ShortWrite = 4,
    /// <summary>The volume is full for a while: writes fail after some of their bytes with
    /// <see cref="OrleansMq.Storage.DiskFullException"/>.</summary>
    DiskFull = 5,
    /// <summary>A flush fails and makes nothing durable; later flushes do not repair it.</summary>
    FlushFailure = 6,
    /// <summary>A bit of a file flips while the broker is down.</summary>
    FlippedBit = 7,
}

/// <summary>An armed fault.</summary>
/// <param name="Kind">The kind.</param>
/// <param name="After">The number of eligible operations that pass first.</param>
/// <param name="Writes">For <see cref="FaultKind.DiskFull"/>: the number of consecutive writes that fail.</param>
/// <param name="OnlyPathsWith">If not null, only operations on paths that contain it are eligible.</param>
public sealed record Fault(FaultKind Kind, int After, int Writes = 1, string? OnlyPathsWith = null)
{
    /// <summary>Whether the fault ends the process.</summary>
    public bool IsCrash => Kind is FaultKind.ProcessKill or FaultKind.TornWrite or FaultKind.PowerCut;
}

/// <summary>Thrown by every operation after a crash. It is no disk fault, since the process no longer exists.</summary>
public sealed class CrashedException() : IOException("Crashed: this process no longer exists.");
