using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Storage;

public sealed class DiskFileSystemTests : FileSystemConformance, IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("omq-disk-").FullName;

    private protected override IFileSystem Files => DiskFileSystem.Instance;

    protected override string Root => _root;

    public void Dispose() => Directory.Delete(_root, recursive: true);

    [SkippableFact]
    public void Full_volume_is_named()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "/dev/full is Linux's.");
        using var full = Files.Open("/dev/full", FileOpening.ReadWrite);
        var single = Assert.Throws<DiskFullException>(() => full.Write(new byte[10], 0));
        Assert.Equal("/dev/full", single.Path);
        Assert.Contains("/dev/full", single.Message);
        Assert.Throws<DiskFullException>(() => full.Write([new byte[10], new byte[10]], 0));
    }

    [Fact]
    public void Reads_and_writes_allocate_nothing()
    {
        using var file = Files.Open(Path.Combine(_root, "plain"), FileOpening.OpenOrCreate);
        var bytes = new byte[4096];
        List<ReadOnlyMemory<byte>> buffers = [bytes, bytes, bytes];
        Assert.Equal(0, Allocations.Of(() => ReadAndWrite(file, bytes, buffers)));
    }

    [Fact]
    public void Written_pages_are_resident_and_unread_ones_are_not()
    {
        using var file = new DiskFileSystem().Open(Path.Combine(_root, "cached"), FileOpening.CreateOrTruncate);
        file.Write(new byte[100_000], 0);
        file.SetLength(1_000_000);
        var isTold = OperatingSystem.IsLinux() && Environment.OSVersion.Version >= new Version(6, 5);
        Assert.Equal(isTold, file.IsInMemory(0, 100_000));
        Assert.Equal(isTold, file.IsInMemory(99_999, 1));
        Assert.False(file.IsInMemory(0, 1_000_000));
        Assert.False(file.IsInMemory(500_000, 1));
    }

    private static void ReadAndWrite(IFile file, byte[] bytes, List<ReadOnlyMemory<byte>> buffers)
    {
        file.Write(bytes, 0);
        file.Write(buffers, 4096);
        file.Read(bytes, 0);
        file.Flush();
    }

    [SkippableFact]
    public void Lock_of_another_process_holds_until_it_ends()
    {
        Skip.IfNot(OperatingSystem.IsLinux() && File.Exists("/usr/bin/flock"), "Needs the flock command.");
        var path = Path.Combine(_root, ".lock");
        File.WriteAllText(path, "");
        using var other = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo("/usr/bin/flock")
        {
            ArgumentList = { "--exclusive", "--no-fork", path, "/bin/sh", "-c", "echo locked; exec cat" },
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })!;
        Assert.Equal("locked", other.StandardOutput.ReadLine());
        Assert.Null(Files.TryLock(path));
        other.Kill();
        other.WaitForExit();
        using var held = Files.TryLock(path);
        Assert.NotNull(held);
    }
}
