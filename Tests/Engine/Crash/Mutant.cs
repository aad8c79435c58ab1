using OrleansMq.Api;
using OrleansMq.Partitions;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Crash;

/// <summary>Injects bugs between the engine and the rounds; this base injects none. The checker is trusted because it detects each derived
/// bug.</summary>
internal class Mutant
{
    /// <summary>Returns the disk as the engine sees it.</summary>
    public virtual IFileSystem Wrap(IFileSystem disk) => disk;

    /// <summary>Appends a batch.</summary>
    public virtual ValueTask<ProduceResult> SendAsync(Partition partition, byte[] bytes, SentBatch batch) =>
        partition.AppendAsync(bytes, Acks.All);

    /// <summary>Changes the disk after a stop, before the broker restarts.</summary>
    public virtual void BeforeRestart(MemoryFileSystem disk, string directory, Ledger ledger)
    {
    }

    /// <summary>Changes the disk after the broker restarted, before the check.</summary>
    public virtual void AfterRestart(MemoryFileSystem disk, string directory)
    {
    }
}
