using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Storage;

namespace OrleansMq.Tests.Engine.Brokers;

/// <summary>An in-memory disk whose process dies just before its n-th change of the disk. Every later operation of the process
/// fails.</summary>
internal sealed class KillSwitch(MemoryFileSystem files) : WrappedFileSystem(files)
{
    private readonly Lock _lock = new();
    private int _changesLeft = int.MaxValue;

    /// <summary>The number of changes since <see cref="Arm"/>.</summary>
    public int Changes { get; private set; }

    /// <summary>The disk after the process died; null while it is alive.</summary>
    public MemoryFileSystem? Left { get; private set; }

    public void Arm(int changes)
    {
        lock (_lock)
            (_changesLeft, Changes) = (changes, 0);
    }

    public override IFile Open(string path, FileOpening mode)
    {
        if (mode is FileOpening.CreateOrTruncate || (mode is FileOpening.OpenOrCreate && Left is null && !files.FileExists(path)))
            Changing();
        return new WrappedFile(files.Open(path, mode), Changing);
    }

    protected override void Changing()
    {
        lock (_lock)
        {
            if (Left is null && _changesLeft-- <= 0)
                Left = files.ProcessKill();
            Changes++;
        }
    }
}
