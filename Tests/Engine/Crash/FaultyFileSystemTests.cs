using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Crash;

public class FaultyFileSystemTests
{
    private const string File = "/d/f.log";

    [Fact]
    public void Short_write_leaves_a_prefix_and_the_process_continues()
    {
        var disk = Create(out var file);
        disk.Arm(new Fault(FaultKind.ShortWrite, After: 1));
        file.Write(new byte[10], 0);
        Assert.Throws<IOException>(() => file.Write(new byte[100], 10));
        Assert.InRange(disk.GetLength(File), 10, 109);
        Assert.Equal(FaultKind.ShortWrite, Assert.Single(disk.TookEffect).Kind);
        Assert.False(disk.Crashed);
        file.Write(new byte[100], 10);
    }

    [Fact]
    public void Full_disk_stays_full_for_a_while()
    {
        var disk = Create(out var file);
        disk.Arm(new Fault(FaultKind.DiskFull, After: 0, Writes: 3));
        for (var i = 0; i < 3; i++)
            Assert.Throws<DiskFullException>(() => file.Write(new byte[100], 0));
        file.Write(new byte[100], 0);
        Assert.Equal(3, disk.TookEffect.Count);
    }

    [Fact]
    public void Torn_write_kills_the_process_but_keeps_the_page_cache()
    {
        var disk = Create(out var file);
        file.Write(new byte[10], 0);
        disk.Arm(new Fault(FaultKind.TornWrite, After: 0));
        Assert.Throws<CrashedException>(() => file.Write(new byte[100], 10));
        Assert.Throws<CrashedException>(() => disk.FileExists(File));
        Assert.Throws<CrashedException>(() => file.Flush());
        var next = disk.Restart();
        Assert.InRange(next.GetLength(File), 10, 109);
        Assert.Equal(FaultKind.TornWrite, Assert.Single(disk.TookEffect).Kind);
    }

    [Fact]
    public void Power_cut_loses_unflushed_bytes()
    {
        var lost = 0;
        for (var seed = 0; seed < 50; seed++)
        {
            var disk = Create(out var file, seed);
            file.Write(new byte[10], 0);
            file.Flush();
            disk.FlushDirectory("/d");
            file.Write(new byte[10], 10);
            disk.Arm(new Fault(FaultKind.PowerCut, After: 0));
            Assert.Throws<CrashedException>(() => file.Flush());
            var length = disk.Restart().GetLength(File);
            Assert.InRange(length, 10, 20);
            lost += length < 20 ? 1 : 0;
        }
        Assert.InRange(lost, 5, 45);
    }

    [Fact]
    public void Failed_flush_is_not_repaired_by_a_later_one()
    {
        var lost = 0;
        for (var seed = 0; seed < 50; seed++)
        {
            var disk = Create(out var file, seed);
            disk.FlushDirectory("/d");
            file.Write(new byte[10], 0);
            disk.Arm(new Fault(FaultKind.FlushFailure, After: 0));
            Assert.Throws<IOException>(() => file.Flush());
            file.Flush();
            disk.Crash(powerCut: true);
            lost += disk.Restart().GetLength(File) < 10 ? 1 : 0;
        }
        Assert.InRange(lost, 5, 45);
    }

    [Fact]
    public void Same_seed_leaves_the_same_bytes()
    {
        var first = Enumerable.Range(0, 20).Select(Leave).ToList();
        Assert.Equal(first, Enumerable.Range(0, 20).Select(Leave));
        Assert.True(first.Distinct().Count() > 1);

        static string Leave(int seed)
        {
            var disk = Create(out var file, seed);
            disk.FlushDirectory("/d");
            for (var i = 0; i < 5; i++)
                file.Write(Enumerable.Repeat((byte)(i + 1), 700).ToArray(), i * 700);
            disk.Crash(powerCut: true);
            return Convert.ToHexString(AtomicFile.TryRead(disk.Restart(), File)!);
        }
    }

    private static FaultyFileSystem Create(out IFile file, int seed = 1)
    {
        var disk = new FaultyFileSystem(seed);
        disk.CreateDirectory("/d");
        disk.FlushDirectory("/");
        file = disk.Open(File, FileOpening.OpenOrCreate);
        return disk;
    }
}
