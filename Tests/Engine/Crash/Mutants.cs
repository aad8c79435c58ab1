using System.Buffers.Binary;
using OrleansMq.Api;
using OrleansMq.Partitions;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Storage;

namespace OrleansMq.Tests.Engine.Crash;

/// <summary>Acknowledges before the flush: file flushes do nothing.</summary>
internal sealed class AcknowledgesBeforeFlush : Mutant
{
    public override IFileSystem Wrap(IFileSystem disk) => new LyingDisk(disk);

    private sealed class LyingDisk(IFileSystem disk) : WrappedFileSystem(disk)
    {
        public override IFile Open(string path, FileOpening mode) => new LyingFile(Inner.Open(path, mode));
    }

    private sealed class LyingFile(IFile file) : WrappedFile(file)
    {
        public override void Flush()
        {
        }
    }
}

/// <summary>Changes the last segment's file before the restart.</summary>
internal abstract class ChangesLastSegment : Mutant
{
    public override void BeforeRestart(MemoryFileSystem disk, string directory, Ledger ledger)
    {
        var name = disk.ListFiles(directory).Where(n => n.EndsWith(".log", StringComparison.Ordinal)
            && disk.GetLength(Path.Combine(directory, n)) > 0)
            .Order(StringComparer.Ordinal).Last();
        var path = Path.Combine(directory, name);
        var bytes = AtomicFile.TryRead(disk, path)!;
        if (!NaiveLog.FindBatch(bytes, bytes.Length - 1, out var start, out var lastOffset))
            return; // Torn: it misleads no recovery.
        bytes = Change(bytes, (int)start, lastOffset, long.Parse(name[..20]));
        using var file = disk.Open(path, FileOpening.ReadWrite);
        file.SetLength(bytes.Length);
        file.Write(bytes, 0);
        file.Flush();
    }

    /// <summary>Returns the new content.</summary>
    /// <param name="bytes">The file's content.</param>
    /// <param name="start">The position of its last batch.</param>
    /// <param name="lastOffset">That batch's last offset.</param>
    /// <param name="segmentBase">The segment's base offset.</param>
    protected abstract byte[] Change(byte[] bytes, int start, long lastOffset, long segmentBase);
}

/// <summary>Truncates a flushed batch and forgets the flushed point.</summary>
internal sealed class CutsBelowTheFlushedPoint : ChangesLastSegment
{
    public override void BeforeRestart(MemoryFileSystem disk, string directory, Ledger ledger)
    {
        disk.DeleteFile(Path.Combine(directory, "partition-checkpoint"));
        base.BeforeRestart(disk, directory, ledger);
    }

    protected override byte[] Change(byte[] bytes, int start, long lastOffset, long segmentBase) => bytes[..start];
}

/// <summary>Accepts a changed record, as a recovery without CRC would.</summary>
internal sealed class DoesNotCheckTheCrc : ChangesLastSegment
{
    protected override byte[] Change(byte[] bytes, int start, long lastOffset, long segmentBase)
    {
        // The first record's timestamp moves by a millisecond, with a matching CRC.
        bytes[start + 34] ^= 1;
        RecordBatches.Seal(bytes.AsSpan(start));
        return bytes;
    }
}

/// <summary>Invents a record that was never sent.</summary>
internal sealed class InventsARecord : ChangesLastSegment
{
    protected override byte[] Change(byte[] bytes, int start, long lastOffset, long segmentBase)
    {
        var batch = new SentBatch(-1, -1, CompressionType.None, [new SentRecord("nobody", "k1", "x", 1)]).Encode();
        BinaryPrimitives.WriteInt64BigEndian(batch, lastOffset + 1);
        BinaryPrimitives.WriteInt32BigEndian(batch.AsSpan(12), 0);
        return [.. bytes, .. batch];
    }
}

/// <summary>Appends retries again and reports them as duplicates.</summary>
internal sealed class DoublesRetries : Mutant
{
    public override async ValueTask<ProduceResult> SendAsync(Partition partition, byte[] bytes, SentBatch batch)
    {
        if (batch.State != BatchState.Acknowledged)
            return await base.SendAsync(partition, bytes, batch);
        var anonymous = new SentBatch(-1, -1, CompressionType.None, batch.Records);
        var answer = await partition.AppendAsync(anonymous.Encode(), Acks.All);
        return answer with { BaseOffset = batch.Offset };
    }
}

/// <summary>Sometimes acknowledges batches without appending them.</summary>
internal sealed class LosesAppends : Mutant
{
    private int _sent;

    public override ValueTask<ProduceResult> SendAsync(Partition partition, byte[] bytes, SentBatch batch) =>
        batch.ProducerId < 0 && ++_sent % 10 == 0 ? new(new ProduceResult(ErrorCode.None, partition.LogEndOffset))
        : base.SendAsync(partition, bytes, batch);
}

/// <summary>Leaves an index with an invalid entry.</summary>
internal sealed class LeavesAWrongIndex : Mutant
{
    public override void AfterRestart(MemoryFileSystem disk, string directory)
    {
        var name = disk.ListFiles(directory).FirstOrDefault(n => n.EndsWith(".index", StringComparison.Ordinal)
            && disk.GetLength(Path.Combine(directory, n)) > 8);
        if (name is null)
            return;
        using var file = disk.Open(Path.Combine(directory, name), FileOpening.ReadWrite);
        var entry = new byte[8];
        file.Read(entry, 0);
        entry[7]++;
        file.Write(entry, 0);
    }
}
