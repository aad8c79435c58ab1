using System.Text;
using OrleansMq.Log;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Producers;

public class LeaderEpochCacheTests
{
    private const string Directory = "/data/t-0";
    private MemoryFileSystem _disk = new();

    public LeaderEpochCacheTests()
    {
        _disk.CreateDirectory(Directory);
        _disk.FlushDirectory("/data");
        _disk.FlushDirectory("/");
    }

    [Fact]
    public void File_has_Kafkas_text_format()
    {
        Filled();
        Assert.Equal("0\n3\n0 0\n2 10\n5 30\n",
            Encoding.ASCII.GetString(AtomicFile.TryRead(_disk, $"{Directory}/leader-epoch-checkpoint")!));
    }

    [Fact]
    public void Epochs_rise_and_epochs_without_records_are_dropped()
    {
        var cache = Filled();
        Assert.False(cache.Assign(5, 40));
        Assert.False(cache.Assign(4, 40));
        Assert.True(cache.Assign(6, 30));
        Assert.Equal([new(0, 0), new(2, 10), new(6, 30)], cache.Entries);
        Assert.True(cache.Assign(7, 5));
        Assert.Equal([new(0, 0), new(7, 5)], cache.Entries);
        Assert.Equal(cache.Entries, LeaderEpochCache.Open(_disk, Directory).Entries);
    }

    [Theory]
    [InlineData(0, 0, 10)]
    [InlineData(1, 0, 10)]
    [InlineData(2, 2, 30)]
    [InlineData(4, 2, 30)]
    [InlineData(5, 5, 50)]
    [InlineData(6, -1, -1)]
    public void End_of_an_epoch_is_the_start_of_the_next_or_the_log_end(int asked, int epoch, long end) =>
        Assert.Equal(new LeaderEpochEntry(epoch, end), Filled().EndOffsetFor(asked, logEndOffset: 50));

    [Fact]
    public void Epoch_below_all_known_ends_at_the_first_known_start()
    {
        var cache = Filled();
        cache.TruncateFromStart(15);
        Assert.Equal([new(2, 15), new(5, 30)], cache.Entries);
        Assert.Equal(new LeaderEpochEntry(1, 15), cache.EndOffsetFor(1, 50));
        Assert.Equal(LeaderEpochCache.None, LeaderEpochCache.Open(new MemoryFileSystem(), "/nothing").EndOffsetFor(0, 50));
    }

    [Theory]
    [InlineData(-1, -1)]
    [InlineData(0, 0)]
    [InlineData(9, 0)]
    [InlineData(10, 2)]
    [InlineData(1000, 5)]
    public void Offset_belongs_to_the_last_epoch_that_started_at_or_before_it(long offset, int epoch) =>
        Assert.Equal(epoch, Filled().EpochOf(offset));

    [Fact]
    public void Truncation_drops_epochs_that_start_beyond_it()
    {
        var cache = Filled();
        cache.TruncateFromEnd(31);
        Assert.Equal(3, cache.Entries.Count);
        cache.TruncateFromEnd(30);
        Assert.Equal([new(0, 0), new(2, 10)], cache.Entries);
        cache.TruncateFromEnd(0);
        Assert.Empty(LeaderEpochCache.Open(_disk, Directory).Entries);
        Assert.Equal(LeaderEpochCache.None, cache.Latest);
    }

    [Fact]
    public void Moving_the_log_start_keeps_its_epoch()
    {
        var cache = Filled();
        cache.TruncateFromStart(0);
        Assert.Equal(3, cache.Entries.Count);
        cache.TruncateFromStart(10);
        Assert.Equal([new(2, 10), new(5, 30)], cache.Entries);
        cache.TruncateFromStart(99);
        Assert.Equal([new(5, 99)], LeaderEpochCache.Open(_disk, Directory).Entries);
        cache.Clear();
        Assert.Empty(LeaderEpochCache.Open(_disk, Directory).Entries);
    }

    [Fact]
    public void Assigned_epoch_survives_a_power_cut()
    {
        for (var seed = 0; seed < 50; seed++)
        {
            var cache = LeaderEpochCache.Open(_disk, Directory);
            Assert.True(cache.Assign(seed, seed * 10));
            _disk = _disk.PowerCut(new Random(seed));
            Assert.Equal(cache.Entries, LeaderEpochCache.Open(_disk, Directory).Entries);
        }
    }

    [Theory]
    [InlineData("", 1)]
    [InlineData("1\n0\n", 1)]
    [InlineData("0", 2)]
    [InlineData("0\nx\n", 2)]
    [InlineData("0\n2\n0 0\n", 2)]
    [InlineData("0\n1\n0\n", 3)]
    [InlineData("0\n1\n-1 0\n", 3)]
    [InlineData("0\n2\n1 0\n1 5\n", 4)]
    [InlineData("0\n2\n1 5\n2 5\n", 4)]
    public void Damaged_file_is_refused_with_path_and_line(string text, int line)
    {
        AtomicFile.Write(_disk, $"{Directory}/leader-epoch-checkpoint", Encoding.ASCII.GetBytes(text));
        var exception = Assert.Throws<InvalidDataException>(() => LeaderEpochCache.Open(_disk, Directory));
        Assert.Contains("leader-epoch-checkpoint", exception.Message);
        Assert.Contains($"line {line} ", exception.Message);
    }

    private LeaderEpochCache Filled()
    {
        var cache = LeaderEpochCache.Open(_disk, Directory);
        cache.Assign(0, 0);
        cache.Assign(2, 10);
        cache.Assign(5, 30);
        return cache;
    }
}
