using OrleansMq.Log;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Compaction;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Log;

/// <summary>What opening finds in a directory, and what it reports.</summary>
public sealed class LogOpeningTests
{
    private static readonly TopicConfig Config = TopicConfig.Default with { SegmentBytes = 1 << 20, FileDeleteDelayMs = 0 };
    private static readonly string LogPath = Path.Combine(TestLog.Directory, LogFiles.Name(0, LogFiles.Log));

    private readonly MemoryFileSystem _disk = new();

    [Fact]
    public void Empty_directory_begins_a_log()
    {
        var log = Open(clean: true).Log;
        Assert.Equal(default, log.Opening);
        Assert.Equal((0L, 0L, 0L), (log.LogStartOffset, log.LogEndOffset, log.RecoveryPoint.Offset));
        Assert.Equal(["00000000000000000000.index", "00000000000000000000.log", "00000000000000000000.timeindex", "partition-checkpoint"],
            _disk.ListFiles(TestLog.Directory).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Clean_stop_at_the_recovery_point_is_reported()
    {
        var log = Filled(3);
        log.Log.MoveRecoveryPoint();
        log.Log.CloseFiles();
        log = Open(clean: true);
        Assert.Equal(new OpeningReport(IsClean: true, CutMoreThanLastWrite: false, WasEmptied: false), log.Log.Opening);
        Assert.Equal((3L, 3L), (log.Log.LogEndOffset, log.Log.SecuredOffset));
    }

    [Fact]
    public void Batches_after_the_recovery_point_are_recovered_even_after_a_clean_stop()
    {
        var log = Filled(3);
        log.Log.MoveRecoveryPoint();
        log.Append(("k", "v"));
        log.Log.CloseFiles();
        log = Open(clean: true);
        Assert.Equal(default, log.Log.Opening);
        Assert.Equal((4L, 4L, 4L), (log.Log.LogEndOffset, log.Log.SecuredOffset, log.Log.RecoveryPoint.Offset));
    }

    [Fact]
    public void Unfinished_last_write_is_cut_without_a_report()
    {
        var size = Filled(3).Log.Active.Size;
        using (var file = _disk.Open(LogPath, FileOpening.ReadWrite))
            file.SetLength(size - 1);
        var log = Open(clean: false).Log;
        Assert.False(log.Opening.CutMoreThanLastWrite);
        Assert.Equal((2L, log.Active.Size), (log.LogEndOffset, _disk.GetLength(LogPath)));
    }

    [Fact]
    public void Cut_of_whole_bytes_is_reported()
    {
        var size = Filled(3).Log.Active.Size;
        using (var file = _disk.Open(LogPath, FileOpening.ReadWrite))
            file.Write([0xFF, 0xFF, 0xFF], size - 3);
        var log = Open(clean: false).Log;
        Assert.True(log.Opening.CutMoreThanLastWrite);
        Assert.Equal(2, log.LogEndOffset);
    }

    [Fact]
    public void Flushed_bytes_are_never_cut()
    {
        var log = Filled(3);
        log.Log.Flush();
        using (var file = _disk.Open(LogPath, FileOpening.ReadWrite))
            file.Write([0xFF, 0xFF, 0xFF], log.Log.Active.Size - 3);
        var damage = Assert.Throws<DamagedLogException>(() => Open(clean: false));
        Assert.Equal(2, damage.Offset);
        Assert.Equal(log.Log.Active.Size, _disk.GetLength(LogPath));
    }

    [Fact]
    public void Log_without_its_checkpoint_is_scanned_from_its_start()
    {
        var log = Filled(3);
        log.Roll();
        log.Append(("k", "v"));
        log.Log.MoveRecoveryPoint();
        _disk.DeleteFile(Path.Combine(TestLog.Directory, LogFiles.Checkpoint));
        log = Open(clean: true);
        Assert.Equal(default, log.Log.Opening);
        Assert.Equal((0L, 4L, 4L), (log.Log.LogStartOffset, log.Log.LogEndOffset, log.Log.RecoveryPoint.Offset));
    }

    [Fact]
    public void Damage_before_other_segments_is_not_cut_without_the_checkpoint()
    {
        var log = Filled(3);
        log.Roll();
        log.Append(("k", "v"));
        _disk.DeleteFile(Path.Combine(TestLog.Directory, LogFiles.Checkpoint));
        using (var file = _disk.Open(LogPath, FileOpening.ReadWrite))
            file.Write([0xFF, 0xFF, 0xFF], file.Length - 3);
        var damage = Assert.Throws<DamagedLogException>(() => Open(clean: false));
        Assert.Contains(LogFiles.Checkpoint, damage.Message, StringComparison.Ordinal);
        Assert.Equal(2, _disk.ListFiles(TestLog.Directory).Count(name => name.EndsWith(LogFiles.Log, StringComparison.Ordinal)));
    }

    [Fact]
    public void Interrupted_emptying_is_completed_and_reported()
    {
        Filled(3);
        var points = new DurablePoints(new FileHandleCache(_disk, 4), TestLog.Directory);
        points.TryRead(out _);
        points.BeginEmptying(1000);
        var log = Open(clean: true).Log;
        Assert.Equal(new OpeningReport(IsClean: false, CutMoreThanLastWrite: false, WasEmptied: true), log.Opening);
        Assert.Equal((1000L, 1000L), (log.LogStartOffset, log.LogEndOffset));
        Assert.False(_disk.FileExists(LogPath));
        log.CloseFiles();
        Assert.False(Open(clean: false).Log.Opening.WasEmptied);
    }

    private TestLog Filled(int batches)
    {
        var log = Open(clean: false);
        for (var i = 0; i < batches; i++)
            log.Append(("k", "v"));
        log.Log.CloseFiles();
        return log;
    }

    private TestLog Open(bool clean) => new(_disk, Config, clean: clean);
}
