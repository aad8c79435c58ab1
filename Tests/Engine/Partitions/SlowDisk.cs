using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Replicas;

namespace OrleansMq.Tests.Engine.Partitions;

/// <summary>A disk whose flushes of logs wait, and may then fail, as a test says. They fail after a while in any case, so that a test that
/// fails while the disk is stopped can end.</summary>
internal sealed class SlowDisk : IDisposable
{
    private readonly ManualResetEventSlim _goes = new(initialState: true);
    private volatile Exception? _fault;

    public SlowDisk(IFileSystem? inner = null) => Files = new FaultyFiles(inner ?? new MemoryFileSystem()) { OnFlush = OnFlush };

    public FaultyFiles Files { get; }

    /// <summary>Flushes that begin later wait.</summary>
    /// <param name="fault">Thrown by those that waited, and by later ones.</param>
    public void Stop(Exception? fault = null)
    {
        _fault = fault;
        _goes.Reset();
    }

    /// <summary>Lets flushes go on.</summary>
    public void Go() => _goes.Set();

    // The event itself stays: a thread may be on its way out of it.
    public void Dispose() => Go();

    private void OnFlush(string path)
    {
        if (!path.EndsWith(".log", StringComparison.Ordinal))
            return;
        if (!_goes.Wait(2 * ReplicatedPartition.Deadline))
            throw new IOException("The test stopped the disk, and did not let it go.");
        if (_fault is { } fault)
            throw fault;
    }
}
