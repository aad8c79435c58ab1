using OrleansMq.Api;
using OrleansMq.Partitions;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Crash;

/// <summary>
/// A place to put mistakes into, between the engine and the rounds: as it is, none. The checker is believed because it finds each of those
/// that are derived from this.
/// </summary>
internal class Mutant
{
    /// <summary>The disk as the engine sees it.</summary>
    public virtual IFileSystem Wrap(IFileSystem disk) => disk;

    /// <summary>An append.</summary>
    public virtual ValueTask<ProduceResult> SendAsync(Partition partition, byte[] bytes, SentBatch batch) =>
        partition.AppendAsync(bytes, Acks.All);

    /// <summary>The disk after a stop, before the broker starts again.</summary>
    public virtual void BeforeRestart(MemoryFileSystem disk, string directory, Ledger ledger)
    {
    }

    /// <summary>The disk after the broker has started again, before it is checked.</summary>
    public virtual void AfterRestart(MemoryFileSystem disk, string directory)
    {
    }
}
