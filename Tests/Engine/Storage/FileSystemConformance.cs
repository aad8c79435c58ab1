using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Storage;

/// <summary>The contract of <see cref="IFileSystem"/>; one subclass for each implementation.</summary>
public abstract class FileSystemConformance
{
    private protected abstract IFileSystem Files { get; }

    /// <summary>An existing empty directory.</summary>
    protected abstract string Root { get; }

    private string At(params string[] names) => Path.Combine([Root, .. names]);

    private void WriteAll(string path, byte[] bytes)
    {
        using var file = Files.Open(path, FileOpening.CreateOrTruncate);
        file.Write(bytes, 0);
    }

    private byte[] ReadAll(string path)
    {
        using var file = Files.Open(path, FileOpening.Read);
        var bytes = new byte[file.Length];
        Assert.Equal(bytes.Length, file.Read(bytes, 0));
        return bytes;
    }

    [Fact]
    public void Written_bytes_are_read_by_every_handle()
    {
        using var writer = Files.Open(At("a"), FileOpening.OpenOrCreate);
        using var reader = Files.Open(At("a"), FileOpening.Read);
        writer.Write("hello world"u8, 0);
        writer.Write("W"u8, 6);
        var buffer = new byte[64];
        Assert.Equal(11, reader.Read(buffer, 0));
        Assert.Equal("hello World"u8.ToArray(), buffer[..11]);
        Assert.Equal(5, reader.Read(buffer, 6));
        Assert.Equal(0, reader.Read(buffer, 11));
        Assert.Equal(0, reader.Read(buffer, 5000));
        Assert.Equal(11, reader.Length);
        Assert.Equal(11, Files.GetLength(At("a")));
        Assert.Equal(At("a"), reader.Path);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(63)]
    [InlineData(64)]
    [InlineData(65)]
    [InlineData(200)]
    public void Gather_write_concatenates_the_buffers(int count)
    {
        var buffers = new List<ReadOnlyMemory<byte>>();
        for (var i = 0; i < count; i++)
            buffers.Add(Enumerable.Repeat((byte)(i + 1), i * 37 % 5000).ToArray());
        using (var file = Files.Open(At("gathered"), FileOpening.CreateOrTruncate))
        {
            file.Write(new byte[] { 9, 9, 9 }, 0);
            file.Write(buffers, 3);
        }
        byte[] expected = [9, 9, 9, .. buffers.SelectMany(buffer => buffer.ToArray())];
        Assert.Equal(expected, ReadAll(At("gathered")));
    }

    [Fact]
    public void Hole_reads_as_zeros()
    {
        using var file = Files.Open(At("sparse"), FileOpening.OpenOrCreate);
        file.Write(new byte[] { 1 }, 10_000);
        Assert.Equal(10_001, file.Length);
        var bytes = Enumerable.Repeat((byte)7, 10_001).ToArray();
        Assert.Equal(10_001, file.Read(bytes, 0));
        Assert.All(bytes[..10_000], b => Assert.Equal(0, b));
        Assert.Equal(1, bytes[10_000]);
    }

    [Fact]
    public void File_truncated_and_extended_reads_zeros_after_the_cut()
    {
        using var file = Files.Open(At("cut"), FileOpening.OpenOrCreate);
        file.Write(Enumerable.Repeat((byte)1, 9000).ToArray(), 0);
        file.SetLength(4100);
        Assert.Equal(4100, file.Length);
        file.SetLength(9000);
        var bytes = ReadAll(At("cut"));
        Assert.Equal(9000, bytes.Length);
        Assert.All(bytes[..4100], b => Assert.Equal(1, b));
        Assert.All(bytes[4100..], b => Assert.Equal(0, b));
    }

    [Fact]
    public void Open_mode_creates_keeps_or_truncates()
    {
        Assert.Throws<FileNotFoundException>(() => Files.Open(At("f"), FileOpening.Read));
        Assert.Throws<FileNotFoundException>(() => Files.Open(At("f"), FileOpening.ReadWrite));
        Assert.Throws<FileNotFoundException>(() => Files.Open(At("no", "f"), FileOpening.Read));
        Assert.Throws<DirectoryNotFoundException>(() => Files.Open(At("no", "f"), FileOpening.OpenOrCreate));
        Assert.Throws<FileNotFoundException>(() => Files.GetLength(At("f")));
        Assert.False(Files.FileExists(At("f")));
        Files.Open(At("f"), FileOpening.OpenOrCreate).Dispose();
        Assert.True(Files.FileExists(At("f")));
        WriteAll(At("f"), [1, 2, 3]);
        using (var file = Files.Open(At("f"), FileOpening.ReadWrite))
            file.Write(new byte[] { 9 }, 1);
        using (var file = Files.Open(At("f"), FileOpening.OpenOrCreate))
            Assert.Equal(3, file.Length);
        Assert.Equal([1, 9, 3], ReadAll(At("f")));
        using (var file = Files.Open(At("f"), FileOpening.Read))
            Assert.Throws<UnauthorizedAccessException>(() => file.Write(new byte[] { 1 }, 0));
        Files.Open(At("f"), FileOpening.CreateOrTruncate).Dispose();
        Assert.Equal(0, Files.GetLength(At("f")));
    }

    [Fact]
    public void Rename_replaces_and_open_handles_stay_valid()
    {
        WriteAll(At("old"), [1]);
        WriteAll(At("new"), [2, 2]);
        using var replaced = Files.Open(At("new"), FileOpening.Read);
        using var moved = Files.Open(At("old"), FileOpening.ReadWrite);
        Files.MoveFile(At("old"), At("new"));
        Assert.False(Files.FileExists(At("old")));
        Assert.Equal([1], ReadAll(At("new")));
        moved.Write(new byte[] { 5 }, 0);
        Assert.Equal([5], ReadAll(At("new")));
        Assert.Equal(2, replaced.Length);
        Assert.Throws<FileNotFoundException>(() => Files.MoveFile(At("old"), At("new")));
    }

    [Fact]
    public void Deleted_file_stays_readable_through_open_handles()
    {
        WriteAll(At("gone"), [1, 2]);
        using var file = Files.Open(At("gone"), FileOpening.Read);
        Files.DeleteFile(At("gone"));
        Files.DeleteFile(At("gone"));
        Files.DeleteFile(At("no-such-directory", "gone"));
        Assert.False(Files.FileExists(At("gone")));
        Assert.Equal(2, file.Read(new byte[2], 0));
    }

    [Fact]
    public void Directories_are_created_listed_moved_and_deleted()
    {
        Files.CreateDirectory(At("x", "y"));
        Files.CreateDirectory(At("x", "y"));
        WriteAll(At("x", "file"), [1]);
        WriteAll(At("x", ".hidden"), [1]);
        WriteAll(At("x", "y", "inner"), [1, 2, 3]);
        Assert.Equal([".hidden", "file"], Files.ListFiles(At("x")).Order(StringComparer.Ordinal));
        Assert.Equal(["y"], Files.ListDirectories(At("x")));
        Assert.True(Files.DirectoryExists(At("x", "y")));
        Assert.False(Files.DirectoryExists(At("x", "file")));
        Assert.False(Files.FileExists(At("x", "y")));
        Files.FlushDirectory(At("x"));

        Files.CreateDirectory(At("taken"));
        Assert.Throws<IOException>(() => Files.MoveDirectory(At("x"), At("taken")));
        Files.MoveDirectory(At("x"), At("z"));
        Assert.False(Files.DirectoryExists(At("x")));
        Assert.Equal([1, 2, 3], ReadAll(At("z", "y", "inner")));
        Files.DeleteDirectory(At("z"));
        Files.DeleteDirectory(At("z"));
        Assert.False(Files.DirectoryExists(At("z")));
        Assert.Throws<DirectoryNotFoundException>(() => Files.ListFiles(At("z")));
    }

    [Fact]
    public void Lock_is_exclusive_until_released()
    {
        var held = Files.TryLock(At(".lock"));
        Assert.NotNull(held);
        Assert.Null(Files.TryLock(At(".lock")));
        held.Dispose();
        using var again = Files.TryLock(At(".lock"));
        Assert.NotNull(again);
    }

    [Fact]
    public void Free_space_is_reported_and_flush_works()
    {
        using var file = Files.Open(At("flushed"), FileOpening.OpenOrCreate);
        file.Write(new byte[10], 0);
        file.Flush();
        Assert.True(Files.GetFreeSpace(Root) > 0);
    }

    [Fact]
    public void Concurrent_writers_of_one_file_lose_no_byte()
    {
        using var file = Files.Open(At("shared"), FileOpening.OpenOrCreate);
        Parallel.For(0, 64, i => file.Write(Enumerable.Repeat((byte)(i + 1), 1000).ToArray(), i * 1000));
        var bytes = ReadAll(At("shared"));
        Assert.Equal(64_000, bytes.Length);
        for (var i = 0; i < bytes.Length; i++)
            Assert.Equal(i / 1000 + 1, bytes[i]);
    }
}
