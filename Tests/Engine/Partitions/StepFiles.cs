using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Storage;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>A disk that fails permanently at a given step: every change from there on is refused, as if the process had died.</summary>
internal sealed class StepFiles(IFileSystem inner, int steps) : WrappedFileSystem(inner)
{
    private int _left = int.MaxValue;

    /// <summary>Whether a step was refused.</summary>
    public bool HasDied => Volatile.Read(ref _left) < 0;

    /// <summary>Starts to count.</summary>
    public void Arm() => _left = steps;

    public override IFile Open(string path, FileOpening mode)
    {
        if (mode is FileOpening.CreateOrTruncate or FileOpening.OpenOrCreate)
            Changing();
        return new WrappedFile(Inner.Open(path, mode), Changing);
    }

    protected override void Changing()
    {
        if (Interlocked.Decrement(ref _left) < 0)
            throw new IOException("The process is dead.");
    }
}
