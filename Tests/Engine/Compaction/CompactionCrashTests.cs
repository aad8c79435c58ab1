using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Crash;

namespace OrleansMq.Tests.Engine.Compaction;

/// <summary>Compaction is safe to kill at any point: tested before each operation on the disk.</summary>
public class CompactionCrashTests
{
    [Theory]
    [InlineData(FaultKind.ProcessKill)]
    [InlineData(FaultKind.TornWrite)]
    [InlineData(FaultKind.PowerCut)]
    public void Crash_at_every_operation_leaves_the_old_segments_or_the_new_one(FaultKind kind)
    {
        var crashes = 0;
        for (var operation = 0; ; operation++)
        {
            var disk = Prepare(seed: operation, out var test, out var before, out var cleaned);
            disk.Arm(new Fault(kind, operation));
            try
            {
                test.Compact();
            }
            catch (IOException) when (disk.Crashed)
            {
            }
            if (!disk.Crashed)
                break;
            crashes++;
            Check(disk.Restart(), test.Time, before, cleaned);
        }
        Assert.InRange(crashes, kind == FaultKind.TornWrite ? 5 : 40, 1000);
    }

    [Theory]
    [InlineData(FaultKind.ProcessKill)]
    [InlineData(FaultKind.PowerCut)]
    public void Crash_at_every_operation_of_recovery_is_recovered(FaultKind kind)
    {
        var crashes = 0;
        for (var first = 0; ; first += 3)
        {
            for (var second = 0; ; second++)
            {
                var disk = Prepare(seed: first * 100 + second, out var test, out var before, out var cleaned);
                disk.Arm(new Fault(kind, first));
                try
                {
                    test.Compact();
                }
                catch (IOException) when (disk.Crashed)
                {
                }
                if (!disk.Crashed)
                {
                    Assert.InRange(crashes, 50, 10_000);
                    return;
                }
                disk = disk.Restart();
                disk.Arm(new Fault(kind, second));
                try
                {
                    _ = new TestLog(disk, time: test.Time);
                }
                catch (IOException) when (disk.Crashed)
                {
                }
                if (!disk.Crashed)
                    break;
                crashes++;
                Check(disk.Restart(), test.Time, before, cleaned);
            }
        }
    }

    [Fact]
    public void Full_disk_stops_the_cleaning_and_leaves_nothing_behind()
    {
        var stopped = 0;
        for (var operation = 0; ; operation++)
        {
            var disk = Prepare(operation, out var test, out var before, out var cleaned);
            disk.Arm(new Fault(FaultKind.DiskFull, operation, OnlyPathsWith: ".cleaned"));
            try
            {
                test.Compact();
                break;
            }
            catch (DiskFullException)
            {
                stopped++;
            }
            Assert.Subset(before.ToHashSet(), test.ReadAll().ToHashSet());
            Assert.Superset(cleaned.ToHashSet(), test.ReadAll().ToHashSet());
            Assert.DoesNotContain(disk.ListFiles(TestLog.Directory), n => n.Contains(".cleaned") || n.Contains(".swap"));
            test.Compact();
            Assert.Equal(cleaned, test.ReadAll());
        }
        Assert.NotEqual(0, stopped);
    }

    private static void Check(FaultyFileSystem disk, ManualTime time, List<Entry> before, List<Entry> cleaned)
    {
        var test = new TestLog(disk, time: time);
        var found = test.ReadAll();
        // Two groups of segments are swapped one after the other, so the first may be new and the second old.
        Assert.Subset(before.ToHashSet(), found.ToHashSet());
        Assert.Superset(cleaned.ToHashSet(), found.ToHashSet());
        Assert.Equal(found.OrderBy(e => e.Offset), found);
        Assert.Equal(before[^1].Offset + 1, test.Log.LogEndOffset);
        Assert.DoesNotContain(disk.ListFiles(TestLog.Directory), n => n.Contains(".cleaned") || n.Contains(".swap")
            || n.Contains(".deleted"));
        CheckNoRangeIsThereTwice(test);
        Assert.True(test.Log.State.Producers.TryGet(9, out var state));
        Assert.Equal(39, state[0].LastSequence);
        test.Compact();
        Assert.Equal(cleaned, test.ReadAll());
    }

    private static void CheckNoRangeIsThereTwice(TestLog test)
    {
        var next = 0L;
        foreach (var segment in test.Log.Segments)
        {
            Assert.True(segment.BaseOffset >= next, $"Segment {segment.BaseOffset} begins below offset {next}, where the one before ends.");
            using var lease = segment.Log.Rent();
            var bytes = new byte[segment.Size];
            lease.File.Read(bytes, 0);
            next = segment.BaseOffset;
            for (var at = 0; at < bytes.Length;)
            {
                var header = RecordBatchHeader.Read(bytes.AsSpan(at));
                Assert.True(header.BaseOffset >= next);
                next = header.NextOffset;
                at += header.SizeInBytes;
            }
        }
    }

    private static FaultyFileSystem Prepare(int seed, out TestLog test, out List<Entry> before, out List<Entry> cleaned)
    {
        var disk = new FaultyFileSystem(seed);
        test = new TestLog(disk, TestLog.Compacted with { SegmentBytes = 2500 });
        for (var i = 0; i < 40; i++)
        {
            test.Append(CompressionType.None, 9, i, ("k" + (i % 7), $"{i}-{new string('x', 80)}"));
            test.Time.Advance(10);
            if (i % 10 == 9)
                test.Roll();
        }
        test.Log.MoveRecoveryPoint();
        before = test.ReadAll();
        cleaned = [.. before.TakeLast(7)];
        return disk;
    }
}
