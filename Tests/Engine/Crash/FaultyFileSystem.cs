using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Crash;

/// <summary>An in-memory file system that fails on cue: one armed fault at a time hits the n-th eligible operation. All randomness comes
/// from the seed. After a crash every operation throws <see cref="CrashedException"/>; <see cref="Restart"/> returns the disk for the next
/// process.</summary>
internal sealed class FaultyFileSystem : IFileSystem
{
    private readonly Lock _lock = new();
    private readonly Random _random;
    private readonly HashSet<string> _unflushable = new(StringComparer.Ordinal);
    private readonly MemoryFileSystem _disk;
    private Fault? _armed;
    private int _left;
    private int _writesLeft;
    private bool _powerCut;

    public FaultyFileSystem(int seed) : this(new MemoryFileSystem(), new Random(seed))
    {
    }

    private FaultyFileSystem(MemoryFileSystem disk, Random random)
    {
        _disk = disk;
        _random = random;
    }

    /// <summary>The disk without faults, which a test inspects and damages.</summary>
    public MemoryFileSystem Disk => _disk;

    /// <summary>The effect of a crash between operations.</summary>
    public const string BetweenOperations = "between operations";

    /// <summary>Whether the crash was a power cut.</summary>
    public bool WasPowerCut => _powerCut;

    /// <summary>Whether the process has crashed.</summary>
    public bool Crashed { get; private set; }

    /// <summary>The faults that hit an operation, and their effects.</summary>
    public List<(FaultKind Kind, string Effect)> TookEffect { get; } = [];

    /// <summary>The number of changing operations so far.</summary>
    public int Operations { get; private set; }

    /// <summary>Whether a fault is armed.</summary>
    public bool IsArmed
    {
        get
        {
            lock (_lock)
                return _armed is not null;
        }
    }

    /// <summary>Arms a fault in place of any other.</summary>
    public void Arm(Fault fault)
    {
        lock (_lock)
        {
            _armed = fault;
            _left = fault.After;
            _writesLeft = fault.Writes;
        }
    }

    /// <summary>Disarms the fault.</summary>
    public void Disarm()
    {
        lock (_lock)
            _armed = null;
    }

    /// <summary>Kills the process now, between two operations.</summary>
    /// <param name="powerCut">Whether the machine loses power, too.</param>
    public void Crash(bool powerCut)
    {
        lock (_lock)
            CrashLocked(powerCut ? FaultKind.PowerCut : FaultKind.ProcessKill, BetweenOperations);
    }

    /// <summary>Returns the disk for the next process. A power cut that neither lost nor interrupted anything does not count as a
    /// fault.</summary>
    public FaultyFileSystem Restart()
    {
        lock (_lock)
        {
            Crashed = true;
            return new FaultyFileSystem(_powerCut ? _disk.PowerCut(_random) : _disk.ProcessKill(), _random);
        }
    }

    public IFile Open(string path, FileOpening mode)
    {
        if (mode is FileOpening.Read or FileOpening.ReadWrite)
            ThrowIfCrashed();
        else
            BeforeChange(path, $"open {mode}");
        return new FaultyFile(this, _disk.Open(path, mode));
    }

    public bool FileExists(string path) => Alive().FileExists(path);
    public bool DirectoryExists(string path) => Alive().DirectoryExists(path);
    public long GetLength(string path) => Alive().GetLength(path);
    public IReadOnlyList<string> ListFiles(string directory) => Alive().ListFiles(directory);
    public IReadOnlyList<string> ListDirectories(string directory) => Alive().ListDirectories(directory);
    public long GetFreeSpace(string path) => Alive().GetFreeSpace(path);
    public IDisposable? TryLock(string path) => Alive().TryLock(path);

    public void CreateDirectory(string path)
    {
        BeforeChange(path, "create directory");
        _disk.CreateDirectory(path);
    }

    public void MoveFile(string from, string to)
    {
        BeforeChange(from, $"rename to {Path.GetFileName(to)}");
        _disk.MoveFile(from, to);
    }

    public void MoveDirectory(string from, string to)
    {
        BeforeChange(from, $"rename to {Path.GetFileName(to)}");
        _disk.MoveDirectory(from, to);
    }

    public void DeleteFile(string path)
    {
        BeforeChange(path, "delete");
        _disk.DeleteFile(path);
    }

    public void DeleteDirectory(string path)
    {
        BeforeChange(path, "delete directory");
        _disk.DeleteDirectory(path);
    }

    public void FlushDirectory(string path)
    {
        BeforeChange(path, "flush directory");
        _disk.FlushDirectory(path);
    }

    internal void ThrowIfCrashed()
    {
        if (Crashed)
            throw new CrashedException();
    }

    private MemoryFileSystem Alive()
    {
        ThrowIfCrashed();
        return _disk;
    }

    /// <summary>Called before an operation other than a write or flush of a file.</summary>
    internal void BeforeChange(string path, string what)
    {
        lock (_lock)
        {
            ThrowIfCrashed();
            Operations++;
            if (_armed is { Kind: FaultKind.ProcessKill or FaultKind.PowerCut } fault && IsDue(fault, path))
            {
                CrashLocked(fault.Kind, $"{what} {Path.GetFileName(path)}");
                throw new CrashedException();
            }
        }
    }

    /// <summary>Called before a write.</summary>
    /// <returns>The number of bytes to write. After a partial write, call <see cref="ThrowForWrite"/>.</returns>
    internal int BeforeWrite(string path, int length)
    {
        lock (_lock)
        {
            ThrowIfCrashed();
            Operations++;
            if (_armed is not { Kind: not FaultKind.FlushFailure } fault || length == 0 || !IsDue(fault, path))
                return length;
            var part = _random.Next(length);
            switch (fault.Kind)
            {
                case FaultKind.ShortWrite or FaultKind.DiskFull:
                    TookEffect.Add((fault.Kind, $"{part} of {length} bytes written to {Path.GetFileName(path)}"));
                    if (--_writesLeft <= 0)
                        _armed = null;
                    return part;
                case FaultKind.TornWrite:
                    return part; // The crash follows after the partial write.
                default:
                    CrashLocked(fault.Kind, $"write of {length} bytes to {Path.GetFileName(path)}");
                    throw new CrashedException();
            }
        }
    }

    internal Exception ThrowForWrite(string path, int part, int length)
    {
        lock (_lock)
        {
            if (_armed?.Kind == FaultKind.TornWrite)
            {
                CrashLocked(FaultKind.TornWrite, $"{part} of {length} bytes written to {Path.GetFileName(path)}");
                return new CrashedException();
            }
            return TookEffect[^1].Kind == FaultKind.DiskFull
                ? new DiskFullException(path)
                : new IOException($"Input/output error: '{path}' (injected after {part} of {length} bytes).");
        }
    }

    /// <summary>Called before a flush of a file.</summary>
    /// <returns>Whether to flush: false after an earlier failed flush of the file, since the system has dropped the dirty pages.</returns>
    internal bool BeforeFlush(string path)
    {
        lock (_lock)
        {
            ThrowIfCrashed();
            Operations++;
            if (_armed is { Kind: FaultKind.ProcessKill or FaultKind.PowerCut or FaultKind.FlushFailure } fault && IsDue(fault, path))
            {
                if (fault.Kind == FaultKind.FlushFailure)
                {
                    _armed = null;
                    _unflushable.Add(path);
                    TookEffect.Add((fault.Kind, $"flush of {Path.GetFileName(path)}"));
                    throw new IOException($"Input/output error: flush of '{path}' (injected).");
                }
                CrashLocked(fault.Kind, $"flush of {Path.GetFileName(path)}");
                throw new CrashedException();
            }
            return !_unflushable.Contains(path);
        }
    }

    private bool IsDue(Fault fault, string path) =>
        (fault.OnlyPathsWith is null || path.Contains(fault.OnlyPathsWith, StringComparison.Ordinal)) && _left-- <= 0;

    private void CrashLocked(FaultKind kind, string effect)
    {
        if (Crashed)
            return;
        Crashed = true;
        _armed = null;
        _powerCut = kind == FaultKind.PowerCut;
        TookEffect.Add((kind, effect));
    }
}

/// <summary>A file that consults its file system before each write and flush.</summary>
internal sealed class FaultyFile(FaultyFileSystem owner, IFile file) : IFile
{
    public string Path => file.Path;

    public long Length
    {
        get
        {
            owner.ThrowIfCrashed();
            return file.Length;
        }
    }

    public int Read(Span<byte> buffer, long position)
    {
        owner.ThrowIfCrashed();
        return file.Read(buffer, position);
    }

    public void Write(ReadOnlySpan<byte> bytes, long position)
    {
        var part = owner.BeforeWrite(Path, bytes.Length);
        file.Write(bytes[..part], position);
        if (part < bytes.Length)
            throw owner.ThrowForWrite(Path, part, bytes.Length);
    }

    public void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position)
    {
        // One system call: a fault may cut it anywhere, even between two buffers.
        var all = new byte[buffers.Sum(b => b.Length)];
        var length = 0;
        foreach (var buffer in buffers)
        {
            buffer.Span.CopyTo(all.AsSpan(length));
            length += buffer.Length;
        }
        Write(all, position);
    }

    public void Flush()
    {
        if (owner.BeforeFlush(Path))
            file.Flush();
    }

    public void SetLength(long length)
    {
        owner.BeforeChange(Path, "set length");
        file.SetLength(length);
    }

    public void Dispose() => file.Dispose();
}
