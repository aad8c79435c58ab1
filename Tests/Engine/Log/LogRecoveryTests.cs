using OrleansMq.Log;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Compaction;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Log;

/// <summary>What recovery cuts is gone for good: it must not come back behind batches that take its offsets.</summary>
public sealed class LogRecoveryTests
{
    private static readonly TopicConfig Config = TopicConfig.Default with { FileDeleteDelayMs = 0 };
    private static readonly string LogPath = Path.Combine(TestLog.Directory, LogFiles.Name(0, LogFiles.Log));

    [Fact]
    public void What_recovery_cut_does_not_come_back_behind_later_batches()
    {
        var seed = Seeds.Next();
        for (var round = 0; round < 60; round++)
        {
            var test = new TestLog(new MemoryFileSystem(), Config);
            test.Append(("key", "durable"));
            test.Log.MoveRecoveryPoint();
            var end = test.Log.Active.Size;
            test.Append(("key", "torn"));
            test.Append(("key", "old"));
            // The power went once: of two batches that were not flushed, only the later one was written out.
            var disk = ((MemoryFileSystem)test.Disk).ProcessKill();
            using (var file = disk.Open(LogPath, FileOpening.ReadWrite))
            {
                file.Write(new byte[16], end);
                file.Flush();
            }
            test = new TestLog(disk, Config);
            Assert.Equal(1, test.Log.LogEndOffset);
            // As long as the one that was torn.
            test.Append(("key", "next"));
            test = new TestLog(((MemoryFileSystem)test.Disk).PowerCut(new Random(unchecked(seed + round))), Config);
            Assert.DoesNotContain("old", test.ReadAll().Select(static entry => entry.Value));
            Assert.True(test.Log.LogEndOffset <= 2, Seeds.Replay(seed));
        }
    }

    [Fact]
    public void Segments_that_recovery_removes_stay_away_whenever_the_power_goes()
    {
        var random = new Random(Seeds.Next());
        for (var step = 0; ; step++)
        {
            Assert.True(step < 200, "The recovery never completed.");
            var isComplete = false;
            for (var round = 0; round < 10; round++)
                isComplete |= !Recover(step, random);
            if (isComplete)
                return;
        }
    }

    /// <summary>Recovers a log whose first batch is torn, and dies at a step; then the power goes.</summary>
    /// <returns>Whether it died.</returns>
    private static bool Recover(int step, Random random)
    {
        var disk = new MemoryFileSystem();
        var test = new TestLog(disk, Config);
        // As in a replica's log: a later segment without its predecessor would look like a gap.
        lock (test.Log.AppendLock)
            test.Log.NoteGap();
        test.Log.Settle(Guid.NewGuid(), Guid.Empty, fence: 0, countedOnlyFlushed: false);
        for (var i = 0; i < 4; i++)
        {
            test.Append(("key", $"value {i}"));
            test.Roll();
        }
        using (var file = disk.Open(LogPath, FileOpening.ReadWrite))
        {
            file.Write(new byte[16], 0);
            file.Flush();
        }
        disk.FlushDirectory(TestLog.Directory);
        disk = disk.ProcessKill();
        var dying = new StepFiles(disk, step);
        dying.Arm();
        try
        {
            _ = new TestLog(dying, Config);
        }
        catch (IOException)
        {
            // Died at this step.
        }
        Assert.Equal(0, new TestLog(disk.PowerCut(random), Config).Log.LogEndOffset);
        return dying.HasDied;
    }
}
