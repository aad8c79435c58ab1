using System.Text;
using OrleansMq.Brokers;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Engine.Brokers;

public sealed class DataDirectoryTests
{
    private const string Root = "/data/broker";

    private readonly MemoryFileSystem _files = new();

    private DataDirectory Open(int brokerId = 0, IFileSystem? files = null) =>
        DataDirectory.Open(files ?? _files, Root, new BrokerId(brokerId));

    private string Refused(int brokerId = 0)
    {
        var refused = Assert.Throws<DataDirectoryException>(() => Open(brokerId));
        Assert.Contains(Root, refused.Message);
        return refused.Message;
    }

    private void Write(string path, string content)
    {
        using var file = _files.Open(path, FileOpening.CreateOrTruncate);
        file.Write(Encoding.UTF8.GetBytes(content), 0);
    }

    [Fact]
    public void New_directory_gets_a_stable_identity()
    {
        string clusterId;
        using (var directory = Open(3))
        {
            clusterId = directory.ClusterId;
            Assert.Matches("^[A-Za-z0-9_][A-Za-z0-9_-]{21}$", clusterId);
            Assert.Equal((Root, new BrokerId(3), Root + "/state", Root + "/logs"),
                (directory.Path, directory.BrokerId, directory.StatePath, directory.LogsPath));
        }
        using (var again = Open(3))
            Assert.Equal(clusterId, again.ClusterId);
        _files.DeleteFile(Root + "/meta.json");
        using (var other = Open(3))
            Assert.NotEqual(clusterId, other.ClusterId);
    }

    [Fact]
    public void Directory_of_a_replicated_broker_opens_only_for_its_cluster()
    {
        DataDirectory Open(string? cluster) => DataDirectory.Open(_files, Root, new BrokerId(3), cluster);
        string Refused(string? cluster) => Assert.Throws<DataDirectoryException>(() => Open(cluster)).Message;
        using (var directory = Open("orders"))
            Assert.Equal("orders", directory.ClusterId);
        using (var again = Open("orders"))
            Assert.Equal("orders", again.ClusterId);
        Assert.All(["'orders'", "'other'", "--cluster-id orders", Root], part => Assert.Contains(part, Refused("other")));
        Assert.All(["'orders'", "--postgres", Root], part => Assert.Contains(part, Refused(null)));
    }

    [Fact]
    public void Directory_of_an_unreplicated_broker_opens_in_no_cluster()
    {
        string clusterId;
        using (var directory = Open())
            clusterId = directory.ClusterId;
        var refused = Assert.Throws<DataDirectoryException>(() => DataDirectory.Open(_files, Root, new BrokerId(0), clusterId));
        Assert.All(["without --postgres", Root], part => Assert.Contains(part, refused.Message));
    }

    [Fact]
    public void Identity_survives_every_power_cut()
    {
        for (var seed = 0; seed < 100; seed++)
        {
            var files = new MemoryFileSystem();
            var clusterId = Open(files: files).ClusterId;
            using var after = Open(files: files.PowerCut(new Random(seed)));
            Assert.Equal(clusterId, after.ClusterId);
        }
    }

    [Fact]
    public void Second_broker_is_refused_with_the_owner_of_the_lock()
    {
        using (Open())
        {
            var message = Refused();
            Assert.Contains($"another broker (pid {Environment.ProcessId}) is using it", message);
            Assert.Contains("choose another --data (in code: BrokerOptions.DataDirectory).", message);
        }
        using var after = Open();
        Assert.NotNull(after);
    }

    [Fact]
    public void Lock_of_a_killed_broker_is_released()
    {
        Open();
        using var next = Open(files: _files.ProcessKill());
        Assert.NotNull(next);
    }

    [Fact]
    public void Refused_open_leaves_no_lock()
    {
        Open(1).Dispose();
        Refused(2);
        Open(1).Dispose();
    }

    [Fact]
    public void Newer_format_is_refused_with_both_versions()
    {
        Open().Dispose();
        Write(Root + "/meta.json", """{"formatVersion":7,"clusterId":"abcdefghijklmnopqrstuv","brokerId":0,"later":true}""");
        var message = Refused();
        Assert.Contains("format version 7", message);
        Assert.Contains("up to 3", message);
        Assert.Contains("newer version", message);
    }

    [Fact]
    public async Task Earlier_versions_refuse_the_directory_while_the_journal_has_changes()
    {
        Assert.Equal(1, await ChangeAsync(_files, isKilled: false, change: false));
        Assert.Equal(1, await ChangeAsync(_files, isKilled: false, change: true));
        var killed = new MemoryFileSystem[1];
        Assert.Equal(3, await ChangeAsync(_files, isKilled: true, change: true, killed));
        // What the killed one left keeps them out until a clean stop; this one opens it.
        Assert.Equal(3, await ChangeAsync(killed[0], isKilled: true, change: false, killed));
        Assert.Equal(1, await ChangeAsync(killed[0], isKilled: false, change: false));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Journal_of_an_earlier_version_is_noted_when_it_is_opened(int format)
    {
        var killed = new MemoryFileSystem[1];
        await ChangeAsync(_files, isKilled: true, change: true, killed);
        var meta = Encoding.UTF8.GetString(AtomicFile.TryRead(killed[0], Root + "/meta.json")!);
        AtomicFile.Write(killed[0], Root + "/meta.json", Encoding.UTF8.GetBytes(meta.Replace("\"formatVersion\": 3",
            $"\"formatVersion\": {format}", StringComparison.Ordinal)));
        Assert.Equal(format, FormatOf(killed[0]));
        Assert.Equal(3, await ChangeAsync(killed[0], isKilled: true, change: false, killed));
    }

    [Fact]
    public void Journal_begins_also_where_the_disk_has_no_room_for_the_format()
    {
        var isFull = true;
        var files = new FaultyFiles(_files)
        {
            OnWrite = (path, _, _) =>
            {
                if (isFull && path.Contains("meta.json", StringComparison.Ordinal))
                    throw new DiskFullException(path);
            },
        };
        Open().Dispose();
        using var directory = Open(files: files);
        directory.NoteJournal();
        Assert.Equal(1, FormatOf(_files));
        isFull = false;
        directory.NoteJournal();
        Assert.Equal(3, FormatOf(_files));
    }

    // Returns the format that the directory has then.
    private static async Task<int> ChangeAsync(MemoryFileSystem files, bool isKilled, bool change, MemoryFileSystem[]? killed = null)
    {
        var broker = await LocalBroker.OpenAsync(new BrokerOptions { DataDirectory = Root, FileSystem = files });
        await using (broker)
        {
            if (change)
                await TestTransactions.InitAsync(broker, "id");
            if (isKilled)
                killed![0] = files.ProcessKill();
        }
        return FormatOf(isKilled ? killed![0] : files);
    }

    private static int FormatOf(MemoryFileSystem files) => int.Parse(System.Text.RegularExpressions.Regex.Match(
        Encoding.UTF8.GetString(AtomicFile.TryRead(files, Root + "/meta.json")!), "\"formatVersion\": ([0-9]+)").Groups[1].Value,
        System.Globalization.CultureInfo.InvariantCulture);

    [Fact]
    public void Directory_of_another_broker_is_refused()
    {
        Open(1).Dispose();
        var message = Refused(2);
        Assert.Contains("belongs to broker 1", message);
        Assert.Contains("--broker-id 1", message);
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("{")]
    [InlineData("{}")]
    [InlineData("""{"formatVersion":1,"brokerId":0}""")]
    [InlineData("""{"formatVersion":"1","clusterId":"x","brokerId":0}""")]
    public void Damaged_identity_is_named(string content)
    {
        Open().Dispose();
        Write(Root + "/meta.json", content);
        var message = Refused();
        Assert.Contains("meta.json", message);
        Assert.Contains("damaged", message);
    }

    [Fact]
    public void Partitions_without_an_identity_file_are_refused()
    {
        using (var directory = Open())
            _files.CreateDirectory(Path.Combine(directory.LogsPath, "orders-0"));
        _files.DeleteFile(Root + "/meta.json");
        Assert.Contains("missing", Refused());
    }

    [Fact]
    public void File_as_data_directory_is_refused()
    {
        _files.CreateDirectory("/data");
        Write(Root, "");
        Assert.Contains("is a file", Refused());
    }

    [Fact]
    public void File_as_parent_directory_is_named()
    {
        Write("/data", "");
        Assert.Contains("choose another --data (in code: BrokerOptions.DataDirectory).", Refused());
    }

    [Fact]
    public void Full_disk_is_named()
    {
        _files.Capacity = 0;
        Assert.Contains("No space left", Refused());
    }

    [SkippableFact]
    public void Read_only_directory_is_named()
    {
        Skip.IfNot(OperatingSystem.IsLinux() && Directory.Exists("/proc/self"), "Needs a directory that even root cannot write.");
        var refused =
            Assert.Throws<DataDirectoryException>(() => DataDirectory.Open(DiskFileSystem.Instance, "/proc/self/omq", new BrokerId(0)));
        Assert.Contains("/proc/self/omq", refused.Message);
        Assert.Contains("choose another --data (in code: BrokerOptions.DataDirectory).", refused.Message);
    }
}
