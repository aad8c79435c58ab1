using OrleansMq.Log;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Log;

public sealed class PartitionCheckpointTests
{
    private const string Directory = "/p";
    private static readonly CheckpointState State =
        new(5, new LogPosition(17, 10, 700), new LogPosition(21, 10, 900), StateKinds.Producers);

    [Fact]
    public void Checkpoint_round_trips()
    {
        var files = NewFiles();
        var checkpoint = new PartitionCheckpoint(files, Directory);
        Assert.False(checkpoint.TryRead(out var nothing));
        Assert.Equal(CheckpointState.Unknown, nothing);
        checkpoint.Create(State);
        Assert.Equal(State, Read(files));
        for (var i = 0; i < 5; i++)
        {
            var next = State with { LogStartOffset = i, Snapshots = (StateKinds)(i % 4), HasTransactions = i % 2 == 1 };
            Write(files, checkpoint, next);
            Assert.Equal(next, Read(files));
        }
        Assert.Equal(1024, files.GetLength(Path.Combine(Directory, LogFiles.Checkpoint)));
    }

    [Fact]
    public void Bytes_match_the_diagram()
    {
        var files = NewFiles();
        new PartitionCheckpoint(files, Directory).Create(State);
        var bytes = AtomicFile.TryRead(files, Path.Combine(Directory, LogFiles.Checkpoint))!;
        // The second write goes to the first slot.
        Assert.Equal("4F4D5150", Convert.ToHexString(bytes[..4]));
        Assert.Equal("000100010000000000000000000000020000000000000005" + "0000000000000011000000000000000A00000000000002BC"
            + "0000000000000015000000000000000A0000000000000384",
            Convert.ToHexString(bytes[8..80]));
        Assert.All(bytes[80..512], b => Assert.Equal(0, b));
    }

    [Fact]
    public void Replication_fields_match_the_diagram()
    {
        var files = NewFiles();
        var state = State with
        {
            IsBeingEmptied = true,
            HasTransactions = true,
            Replica = new ReplicaMarks(new Guid("00112233-4455-6677-8899-aabbccddeeff"), new Guid("a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf"),
                6, true, 42),
        };
        new PartitionCheckpoint(files, Directory).Create(state);
        Assert.Equal(state, Read(files));
        var bytes = AtomicFile.TryRead(files, Path.Combine(Directory, LogFiles.Checkpoint))!;
        Assert.Equal("0027", Convert.ToHexString(bytes[10..12]));
        Assert.Equal("00112233445566778899AABBCCDDEEFF" + "A0A1A2A3A4A5A6A7A8A9AAABACADAEAF" + "00000006" + "00000000" + "000000000000002A",
            Convert.ToHexString(bytes[80..128]));
        Assert.All(bytes[128..512], b => Assert.Equal(0, b));
    }

    [Fact]
    public void Damaged_newer_slot_falls_back_to_the_older_one()
    {
        for (var position = 0; position < 512; position++)
        {
            var files = NewFiles();
            var checkpoint = new PartitionCheckpoint(files, Directory);
            checkpoint.Create(State);
            Write(files, checkpoint, State with { LogStartOffset = 9 });
            Flip(files, 512 + position);
            Assert.Equal(State, Read(files));
        }
    }

    [Fact]
    public void Torn_write_leaves_the_old_or_the_new_content()
    {
        var seed = Seeds.Next();
        var seen = new HashSet<long>();
        for (var round = 0; round < 100; round++)
        {
            var files = NewFiles();
            var checkpoint = new PartitionCheckpoint(files, Directory);
            checkpoint.Create(State);
            using (var file = files.Open(checkpoint.Path, FileOpening.ReadWrite))
            {
                // The flush fails: the written bytes may or may not be there.
                Assert.Throws<IOException>(() => checkpoint.Write(new FileThatCannotFlush(file), State with { LogStartOffset = 9 }));
            }
            var state = Read(files.PowerCut(new Random(unchecked(seed + round))));
            Assert.True(state == State || state == State with { LogStartOffset = 9 }, $"{state}; {Seeds.Replay(seed)}");
            seen.Add(state.LogStartOffset);
        }
        Assert.Equal(2, seen.Count);
    }

    [Fact]
    public void Failed_write_is_retried_in_the_same_slot()
    {
        var files = NewFiles();
        var checkpoint = new PartitionCheckpoint(files, Directory);
        checkpoint.Create(State);
        using (var file = files.Open(checkpoint.Path, FileOpening.ReadWrite))
        {
            for (var i = 0; i < 2; i++)
                Assert.Throws<IOException>(() => checkpoint.Write(new FileThatCannotFlush(file), State with { LogStartOffset = 9 }));
            file.Write(new byte[512], 512);
        }
        Assert.Equal(State, Read(files));
    }

    private static MemoryFileSystem NewFiles()
    {
        var files = new MemoryFileSystem();
        files.CreateDirectory(Directory);
        files.FlushDirectory("/");
        return files;
    }

    private static CheckpointState Read(IFileSystem files)
    {
        Assert.True(new PartitionCheckpoint(files, Directory).TryRead(out var state));
        return state;
    }

    private static void Write(IFileSystem files, PartitionCheckpoint checkpoint, CheckpointState state)
    {
        using var file = files.Open(checkpoint.Path, FileOpening.ReadWrite);
        checkpoint.Write(file, state);
    }

    private static void Flip(IFileSystem files, long position)
    {
        using var file = files.Open(Path.Combine(Directory, LogFiles.Checkpoint), FileOpening.ReadWrite);
        Span<byte> one = stackalloc byte[1];
        file.Read(one, position);
        one[0] ^= 1;
        file.Write(one, position);
    }

    private sealed class FileThatCannotFlush(IFile inner) : IFile
    {
        public string Path => inner.Path;
        public long Length => inner.Length;
        public int Read(Span<byte> buffer, long position) => inner.Read(buffer, position);
        public void Write(ReadOnlySpan<byte> bytes, long position) => inner.Write(bytes, position);
        public void Write(IReadOnlyList<ReadOnlyMemory<byte>> buffers, long position) => inner.Write(buffers, position);
        public void Flush() => throw new IOException("Input/output error");
        public void SetLength(long length) => inner.SetLength(length);
        public void Dispose() { }
    }
}
