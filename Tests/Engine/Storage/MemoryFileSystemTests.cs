using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Storage;

public sealed class MemoryFileSystemTests : FileSystemConformance
{
    private readonly MemoryFileSystem _files = new();

    public MemoryFileSystemTests()
    {
        _files.CreateDirectory("/data");
        _files.FlushDirectory("/");
    }

    private protected override IFileSystem Files => _files;

    protected override string Root => "/data";

    private static void Write(MemoryFileSystem files, string path, byte[] bytes, bool flush = false, bool flushEntry = false)
    {
        using var file = files.Open(path, FileOpening.OpenOrCreate);
        file.Write(bytes, 0);
        if (flush)
            file.Flush();
        if (flushEntry)
            files.FlushDirectory(Path.GetDirectoryName(path)!);
    }

    private static byte[] Read(MemoryFileSystem files, string path)
    {
        using var file = files.Open(path, FileOpening.Read);
        var bytes = new byte[file.Length];
        file.Read(bytes, 0);
        return bytes;
    }

    [Fact]
    public void Killed_process_loses_no_written_bytes_and_can_do_nothing()
    {
        using var file = _files.Open("/data/a", FileOpening.OpenOrCreate);
        file.Write(new byte[] { 1, 2, 3 }, 0);
        var held = _files.TryLock("/data/.lock");
        var next = _files.ProcessKill();
        Assert.Equal([1, 2, 3], Read(next, "/data/a"));
        Assert.Throws<IOException>(() => file.Write(new byte[] { 9 }, 0));
        Assert.Throws<IOException>(() => _files.DeleteFile("/data/a"));
        Assert.Throws<IOException>(() => file.Flush());
        Assert.NotNull(held);
        Assert.NotNull(next.TryLock("/data/.lock"));
    }

    [Fact]
    public void Power_cut_keeps_flushed_bytes()
    {
        Write(_files, "/data/a", [1, 2, 3], flush: true, flushEntry: true);
        for (var seed = 0; seed < 50; seed++)
            Assert.Equal([1, 2, 3], Read(_files.ProcessKill().PowerCut(new Random(seed)), "/data/a"));
    }

    [Fact]
    public void Power_cut_may_keep_lose_or_tear_unflushed_bytes()
    {
        var outcomes = Outcomes(files =>
        {
            Write(files, "/data/a", new byte[1024], flush: true, flushEntry: true);
            using var file = files.Open("/data/a", FileOpening.ReadWrite);
            file.Write(Enumerable.Repeat((byte)7, 2048).ToArray(), 512);
        }, files =>
        {
            var bytes = Read(files, "/data/a");
            Assert.All(bytes[..512], b => Assert.Equal(0, b));
            Assert.InRange(bytes.Length, 1024, 2560);
            return bytes.Count(b => b == 7) switch { 0 => "lost", 2048 => "kept", _ => "torn" } + (bytes.Length == 1024 ? " short" : "");
        });
        Assert.Superset(new HashSet<string> { "kept", "lost", "torn", "lost short" }, outcomes);
    }

    [Fact]
    public void Power_cut_may_lose_a_new_name_but_never_both_names_of_a_rename()
    {
        var outcomes = Outcomes(files =>
        {
            Write(files, "/data/old", [1], flush: true, flushEntry: true);
            files.MoveFile("/data/old", "/data/new");
        }, files => (files.FileExists("/data/old"), files.FileExists("/data/new")) switch
        {
            (true, false) => "old",
            (false, true) => "new",
            _ => "both or none",
        });
        Assert.Equal(new HashSet<string> { "old", "new" }, outcomes);
    }

    [Fact]
    public void Move_between_directories_is_kept_or_lost_as_a_whole()
    {
        var outcomes = Outcomes(files =>
        {
            files.CreateDirectory("/data/x");
            files.CreateDirectory("/data/y");
            files.FlushDirectory("/data");
            Write(files, "/data/x/a", [1], flush: true, flushEntry: true);
            files.MoveFile("/data/x/a", "/data/y/a");
        }, files => $"{files.FileExists("/data/x/a")} {files.FileExists("/data/y/a")}");
        Assert.Equal(new HashSet<string> { "True False", "False True" }, outcomes);
    }

    [Fact]
    public void Flushed_entries_and_flushed_deletes_survive()
    {
        var outcomes = Outcomes(files =>
        {
            Write(files, "/data/kept", [1], flush: true, flushEntry: true);
            Write(files, "/data/deleted", [1], flush: true, flushEntry: true);
            files.DeleteFile("/data/deleted");
            files.FlushDirectory("/data");
            Write(files, "/data/unflushed", [1], flush: true);
        }, files => $"{files.FileExists("/data/kept")} {files.FileExists("/data/deleted")} {files.FileExists("/data/unflushed")}");
        Assert.Equal(new HashSet<string> { "True False True", "True False False" }, outcomes);
    }

    [Fact]
    public void Deleted_directory_may_reappear_with_some_of_its_files()
    {
        var outcomes = Outcomes(files =>
        {
            files.CreateDirectory("/data/d");
            files.FlushDirectory("/data");
            Write(files, "/data/d/a", [1], flush: true);
            Write(files, "/data/d/b", [1], flush: true, flushEntry: true);
            files.DeleteDirectory("/data/d");
        }, files => files.DirectoryExists("/data/d") ? string.Join(",", files.ListFiles("/data/d")) : "gone");
        Assert.Equal(new HashSet<string> { "gone", "", "a", "b", "a,b" }, outcomes);
    }

    [Fact]
    public void Same_seed_leaves_the_same_bytes()
    {
        static string Run(int seed)
        {
            var files = new MemoryFileSystem();
            files.CreateDirectory("/data");
            files.FlushDirectory("/");
            for (var i = 0; i < 20; i++)
                Write(files, $"/data/{i}", Enumerable.Repeat((byte)i, 3000).ToArray());
            files = files.PowerCut(new Random(seed));
            return string.Join(";",
                files.ListFiles("/data").Select(name => name + ":" + Convert.ToHexString(Read(files, "/data/" + name))));
        }

        Assert.Equal(Run(17), Run(17));
        Assert.NotEqual(Run(17), Run(18));
    }

    [Fact]
    public void Traffic_is_counted_per_file()
    {
        Write(_files, "/data/a", new byte[100], flush: true);
        _ = Read(_files, "/data/a");
        Assert.Equal(new FileTraffic(100, 100, 1), _files.Traffic["/data/a"]);
        _files.ResetTraffic();
        Assert.Empty(_files.Traffic);
    }

    [Fact]
    public void Unflushed_bytes_are_counted()
    {
        Write(_files, "/data/a", new byte[100]);
        Assert.Equal(1, _files.UnflushedWrites("/data/a"));
        Assert.Equal(1, _files.UnflushedEntries);
        Write(_files, "/data/a", new byte[100], flush: true, flushEntry: true);
        Assert.Equal(0, _files.UnflushedWrites("/data/a"));
        Assert.Equal(0, _files.UnflushedEntries);
    }

    [Fact]
    public void Full_disk_shortens_the_write()
    {
        _files.Capacity = 1000;
        using var file = _files.Open("/data/a", FileOpening.OpenOrCreate);
        file.Write(new byte[900], 0);
        Assert.Equal(100, _files.GetFreeSpace("/data"));
        Assert.Throws<DiskFullException>(() => file.Write(new byte[200], 900));
        Assert.Equal(1000, file.Length);
        file.Write(new byte[500], 100);
        _files.DeleteFile("/data/a");
        Assert.Equal(1000, _files.GetFreeSpace("/data"));
    }

    private static HashSet<string> Outcomes(Action<MemoryFileSystem> prepare, Func<MemoryFileSystem, string> look)
    {
        var outcomes = new HashSet<string>();
        for (var seed = 0; seed < 200; seed++)
        {
            var files = new MemoryFileSystem();
            files.CreateDirectory("/data");
            files.FlushDirectory("/");
            prepare(files);
            outcomes.Add(look(files.PowerCut(new Random(seed))));
        }
        return outcomes;
    }
}
