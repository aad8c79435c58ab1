using OrleansMq.Compaction;
using OrleansMq.Log;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Compaction;

/// <summary>A follower's log is cut while it is cleaned: the cleaning gives up, and the log is as its leader wrote it.</summary>
public sealed class TruncationDuringCompactionTests
{
    private const string FirstSegment = "00000000000000000000.log";
    private readonly FaultyFiles _disk = new(new MemoryFileSystem());

    /// <summary>The sealed segment holds the high watermark, so what is above it may be cut.</summary>
    private TestLog Filled()
    {
        var test = new TestLog(_disk);
        test.Append(("a", "1"));
        test.Append(("a", "2"));
        test.Append(("b", "cut"));
        test.Append(("c", "cut"));
        test.Roll();
        test.Append(("d", "cut"));
        return test;
    }

    [Fact]
    public void Log_cut_during_the_scan_is_not_taken_for_damaged()
    {
        var test = Filled();
        var reads = 0;
        _disk.OnRead = (path, _) =>
        {
            if (path.EndsWith(FirstSegment, StringComparison.Ordinal) && reads++ == 0)
                Truncate(test, 2);
        };
        test.Compact(highWatermark: 2);
        Assert.NotEqual(0, reads);
        Assert.Equal([(0L, "1"), (1L, "2")], test.ReadAll().Select(entry => (entry.Offset, entry.Value)));
        test.Append(("b", "new"));
        test.Roll();
        test.Compact();
        Assert.Equal([(1L, "2"), (2L, "new")], test.ReadAll().Select(entry => (entry.Offset, entry.Value)));
    }

    [Fact]
    public void Tail_that_was_cut_and_written_anew_stays()
    {
        var test = Filled();
        var cuts = 0;
        _disk.OnWrite = (path, _, _) =>
        {
            if (!path.EndsWith(LogFiles.Log + LogFiles.Cleaned, StringComparison.Ordinal) || cuts++ > 0)
                return;
            Truncate(test, 2);
            test.Append(("e", "new"));
            test.Append(("f", "new"));
            test.Roll();
        };
        test.Compact(highWatermark: 2);
        Assert.Equal(1, cuts);
        Assert.Equal(["2", "new", "new"], test.ReadAll().Select(entry => entry.Value).Where(value => value != "1"));
        Assert.DoesNotContain(_disk.ListFiles(TestLog.Directory), name => name.EndsWith(LogFiles.Cleaned, StringComparison.Ordinal));
    }

    [Fact]
    public void Emptied_log_gets_no_cleaned_segment()
    {
        var test = Filled();
        var cuts = 0;
        _disk.OnWrite = (path, _, _) =>
        {
            if (!path.EndsWith(LogFiles.Log + LogFiles.Cleaned, StringComparison.Ordinal) || cuts++ > 0)
                return;
            lock (test.Log.RemovalLock)
                lock (test.Log.AppendLock)
                    test.Log.ResetTo(0);
            test.Append(("e", "new"));
        };
        test.Compact(highWatermark: 2);
        Assert.Equal(1, cuts);
        Assert.Equal(["new"], test.ReadAll().Select(entry => entry.Value));
        Assert.Equal(CompactionReason.NothingDirty, test.Compact(highWatermark: 0).Decision.Reason);
    }

    /// <summary>Retention may delete a segment's files while a long cleaning still has that segment before it.</summary>
    [Fact]
    public void Segment_deleted_before_it_is_scanned_ends_the_cleaning_without_a_fault()
    {
        var test = new TestLog(_disk, TestLog.Compacted with { CleanupDelete = true, SegmentBytes = 200 });
        for (var i = 0; i < 4; i++)
        {
            test.Append(("a", $"{i}-{new string('x', 100)}"));
            test.Roll();
        }
        var opened = 0;
        test.Log.MoveRecoveryPoint();
        test.Log.CloseFiles();
        _disk.OnOpen = path =>
        {
            if (!path.EndsWith(FirstSegment, StringComparison.Ordinal) || opened++ > 0)
                return;
            test.Log.MoveLogStart(2, test.Time.NowMs);
            test.Log.DeleteAllRemoved();
        };
        test.Compact();
        Assert.NotEqual(0, opened);
        _disk.OnOpen = null;
        test.Compact();
        Assert.Equal([3L], test.ReadAll().Select(entry => entry.Offset));
    }

    /// <summary>Were it taken for clean, its older records would stay when their tombstone goes.</summary>
    [Fact]
    public void Segments_that_lost_a_neighbour_during_their_cleaning_are_cleaned_again()
    {
        var test = new TestLog(_disk, TestLog.Compacted with { CleanupDelete = true });
        test.Append(("z", "0"));
        test.Roll();
        test.Append(("a", "1"));
        test.Append(("b", "2"));
        test.Roll();
        test.Append(("a", null));
        test.Roll();
        var cuts = 0;
        _disk.OnWrite = (path, _, _) =>
        {
            if (path.EndsWith(LogFiles.Log + LogFiles.Cleaned, StringComparison.Ordinal) && cuts++ == 0)
                test.Log.MoveLogStart(1, test.Time.NowMs);
        };
        test.Compact();
        Assert.Equal((1, 0L), (cuts, test.Log.FirstDirtyOffset));
        Assert.Contains(test.ReadAll(), entry => entry is { Key: "a", Value: "1" });
        test.Compact();
        Assert.Equal([2L, 3L], test.ReadAll().Select(entry => entry.Offset));
    }

    /// <summary>Below this point a truncation must begin again: records were removed in favour of later ones.</summary>
    [Fact]
    public void End_of_what_is_compacted_is_stored_before_the_first_swap()
    {
        var test = Filled();
        long stored = -1;
        _disk.OnChange = () =>
        {
            if (stored < 0 && _disk.ListFiles(TestLog.Directory).Any(name => name.EndsWith(LogFiles.Swap, StringComparison.Ordinal)))
                stored = CompactionCheckpoint.Read(_disk, TestLog.Directory)!.EndOffset;
        };
        test.Compact(highWatermark: 2);
        Assert.Equal(2, stored);
    }

    /// <summary>It bounds what a pass can have removed, where the file that says so is damaged.</summary>
    [Fact]
    public void High_watermark_is_stored_before_a_pass_replaces_segments()
    {
        var test = Filled();
        test.Log.NoteHighWatermark(2);
        Assert.True(test.Log.BeginPass(0, 2, test.Log.Cuts));
        Assert.True(new PartitionCheckpoint(_disk, TestLog.Directory).TryRead(out var stored));
        Assert.Equal(2, stored.Replica.HighWatermark);
    }

    private static void Truncate(TestLog test, long end)
    {
        lock (test.Log.RemovalLock)
            lock (test.Log.AppendLock)
                test.Log.TruncateTo(end);
    }
}
