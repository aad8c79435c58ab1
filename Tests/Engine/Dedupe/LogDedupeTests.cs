using OrleansMq.Dedupe;
using OrleansMq.Log;
using OrleansMq.Queues;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Compaction;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Dedupe;

/// <summary>What a log remembers of message ids follows from its batches alone.</summary>
public sealed class LogDedupeTests
{
    private const int AllIds = 20;
    private static readonly TopicConfig Small = TopicConfig.Default with { SegmentBytes = 900, FileDeleteDelayMs = 0 };

    [Fact]
    public void Ids_from_snapshots_and_log_equal_those_from_the_log_alone()
    {
        var random = new Random(Seeds.Next());
        for (var round = 0; round < 20; round++)
        {
            var test = new TestLog(new MemoryFileSystem(), Small);
            var after = new List<(long End, string Ids)>();
            for (var i = 0; i < 80; i++)
            {
                AppendSomething(test, random, () => after.Add((test.Log.LogEndOffset, Describe(test))));
                if (random.Next(20) == 0 || i == 60)
                    test.Log.MoveRecoveryPoint();
            }
            Assert.Contains(test.Disk.ListFiles(TestLog.Directory),
                static name => name.EndsWith(LogFiles.Dedupe, StringComparison.Ordinal));
            test = Reopen(test);
            Assert.Equal(after[^1].Ids, Describe(test));
            // Wherever the log is cut, also between claims and their batch, and without any snapshot.
            var (end, expected) = after[random.Next(after.Count)];
            Cut(test, end);
            Assert.Equal(expected, Describe(test));
            Assert.Equal(expected, Describe(Reopen(test, DeleteSnapshots)));
        }
    }

    /// <summary>Ids are forgotten, claimed anew and told again while a snapshot is encoded, some at a time.</summary>
    [Fact]
    public void Snapshot_is_of_the_moment_at_which_it_was_begun()
    {
        var random = new Random(Seeds.Next());
        for (var round = 0; round < 200; round++)
        {
            var test = new TestLog(new MemoryFileSystem(), Small);
            for (var i = 0; i < 30; i++)
                AppendSomething(test, random, static () => { });
            var expected = Describe(test);
            DedupeCapture[] captures = [Begin(), Begin()];
            foreach (var capture in captures)
            {
                while (!capture.EncodeNext(test.Log.AppendLock, random.Next(1, 4)))
                    AppendSomething(test, random, static () => { });
                Assert.Equal(expected, Describe(LogDedupe.TryDecodeSnapshot(capture.Bytes)!));
            }

            DedupeCapture Begin()
            {
                lock (test.Log.AppendLock)
                    return test.Log.State.Dedupe.Capture(test.Log.LogEndOffset);
            }
        }
    }

    [Fact]
    public void Damaged_snapshot_is_passed_over()
    {
        var random = new Random(Seeds.Next());
        var test = new TestLog(new MemoryFileSystem(), Small);
        for (var i = 0; i < 40; i++)
            AppendSomething(test, random, static () => { });
        test.Log.MoveRecoveryPoint();
        var expected = Describe(test);
        test = Reopen(test, static disk =>
        {
            foreach (var name in disk.ListFiles(TestLog.Directory).Where(name => name.EndsWith(LogFiles.Dedupe)))
                AtomicFile.Write(disk, Path.Combine(TestLog.Directory, name), [1, 2, 3]);
        });
        Assert.Equal(expected, Describe(test));
    }

    /// <summary>A power cut may leave the claims and take their batch.</summary>
    [Fact]
    public void Claims_count_only_when_their_batch_follows()
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        var batch = Data("a");
        Append(test, Claims(batch, 0, (0, 7)));
        Assert.Null(Find(test, 7));
        Append(test, batch);
        Assert.Equal(1, Find(test, 7));
        Cut(test, 1);
        Assert.Null(Find(test, 7));
        Append(test, Data("b"));
        Assert.Null(Find(test, 7));
        // Nor does a later batch with that CRC bring them back.
        Append(test, batch);
        Assert.Null(Find(test, 7));
    }

    [Fact]
    public void Emptied_log_remembers_nothing()
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        Publish(test, 10, 7);
        lock (test.Log.RemovalLock)
            lock (test.Log.AppendLock)
                test.Log.ResetTo(100);
        Assert.Null(Find(test, 7));
        Assert.Equal(StateKinds.None, test.Log.State.Known);
        Publish(test, 20, 8);
        Assert.Equal(101, Find(test, 8));
        Assert.Null(Find(Reopen(test), 7));
    }

    [Fact]
    public void Pending_claims_survive_a_restart()
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        var batch = Data("a");
        Append(test, Claims(batch, 0, (0, 7)));
        test.Log.MoveRecoveryPoint();
        test = Reopen(test);
        Assert.Null(Find(test, 7));
        Append(test, batch);
        Assert.Equal(1, Find(test, 7));
    }

    [Fact]
    public void Staged_ids_are_found_until_they_are_rolled_back()
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        var state = test.Log.State;
        byte[] batch = Data("a"), claims = Claims(batch, 0, (0, 7));
        lock (test.Log.AppendLock)
        {
            Stage();
            Assert.Equal(1, state.Dedupe.Find(7, -1));
            state.Rollback();
            Assert.Null(state.Dedupe.Find(7, -1));
            Assert.Equal(StateKinds.None, state.Known);
            Stage();
            test.Log.Write([claims, batch]);
            Assert.Equal(1, state.Dedupe.Find(7, -1));
            Assert.Equal(StateKinds.Dedupe, state.Known);
        }

        void Stage()
        {
            RecordBatchHeader.StampBaseOffset(batch, 1);
            state.Stage(RecordBatchHeader.Read(claims), claims, 0);
            state.Stage(RecordBatchHeader.Read(batch), batch, 0);
        }
    }

    [Fact]
    public void Log_may_start_behind_an_id_once_it_is_told_again_or_forgotten_in_force()
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        var state = test.Log.State;
        Append(test, Data("before"));
        Assert.Equal(long.MaxValue, state.StartBound(1));
        Publish(test, 10, 7); // at 1, its record at 2
        Publish(test, 20, 8); // at 3 and 4
        Assert.Equal(1, state.StartBound(5));
        var statement = state.Dedupe.Restate(3, after: -1, time: 30, most: 100);
        Assert.Equal([new RememberedId(7, 2, 10)], statement!.Ids);
        Append(test, Build(statement)); // at 5
        Assert.Equal((1, 3), (state.StartBound(5), state.StartBound(6)));
        Assert.Equal((2L, 4L), (Find(test, 7), Find(test, 8)));
        Assert.Null(state.Dedupe.Restate(3, after: -1, time: 30, most: 100));
        // The one that has left the window is forgotten, and the other one is told by what is left.
        Append(test, Build(state.Dedupe.Restate(0, after: 10, time: 30, most: 100)!)); // at 6
        Assert.Null(Find(test, 7));
        Assert.Equal((3, 3), (state.StartBound(6), state.StartBound(7)));
        Append(test, Build(state.Dedupe.Restate(7, after: 20, time: 30, most: 100)!)); // at 7
        Assert.Equal((0, 3, 7), (state.Dedupe.Count, state.StartBound(7), state.StartBound(8)));
    }

    /// <summary>A statement is built before it is appended.</summary>
    [Fact]
    public void Late_statement_brings_nothing_back()
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        Publish(test, 10, 7);
        Publish(test, 10, 8);
        var late = test.Log.State.Dedupe.Restate(4, after: -1, time: 20, most: 100)!;
        Publish(test, 30, 7); // claimed anew, its record at 5
        Append(test, Build(new DedupeStatement(ForgetBelow: 4, 30, [])));
        Append(test, Build(late));
        Assert.Equal(5, Find(test, 7));
        Assert.Null(Find(test, 8));
    }

    [Fact]
    public void Oldest_are_forgotten_above_the_number_of_ids()
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        for (var id = 1; id <= 10; id++)
            Publish(test, 10, (UInt128)id);
        var below = test.Log.State.Dedupe.ForgetBelow(after: -1, most: 4, out var early);
        Assert.Equal(6, early);
        Append(test, Build(new DedupeStatement(below, 10, [])));
        Assert.Equal(4, test.Log.State.Dedupe.Count);
        Assert.Null(Find(test, 6));
        Assert.Equal(13, Find(test, 7));
    }

    /// <summary>A replica that begins at the log's start reads the claims of later ids before the statement of earlier ones.</summary>
    [Fact]
    public void Statement_may_come_after_claims_of_later_records()
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        Publish(test, 20, 8);
        Append(test, Build(new DedupeStatement(0, 20, [new RememberedId(7, 0, 10)])));
        Assert.Equal((0L, 1L), (Find(test, 7), Find(test, 8)));
        Assert.Equal(1, test.Log.State.Dedupe.ForgetBelow(after: 10, most: 100, out var early));
        Assert.Equal(0, early);
    }

    [Fact]
    public void Later_version_is_not_followed()
    {
        var value = DedupeRecord.Encode(new DedupeStatement(0, 0, [])).ToArray();
        value[1] = 1;
        Assert.Throws<UnknownTransitionException>(() => DedupeRecord.Decode(value));
        value[1] = 0;
        value[6] = 3;
        Assert.Throws<UnknownTransitionException>(() => DedupeRecord.Decode(value));
        value[6] = 2;
        Assert.Throws<InvalidDataException>(() => DedupeRecord.Decode([.. value, 0]));
        value[5] = 1;
        Assert.Throws<InvalidDataException>(() => DedupeRecord.Decode(value));
    }

    private static void AppendSomething(TestLog test, Random random, Action appended)
    {
        var (dedupe, now) = (test.Log.State.Dedupe, test.Time.NowMs);
        var after = now - random.Next(2_000);
        switch (random.Next(8))
        {
            case 0:
                Append(test, Data("plain"));
                break;
            case 1 when dedupe.Restate(random.NextInt64(test.Log.LogEndOffset + 1), after, now, random.Next(1, 5)) is { } statement:
                Append(test, Build(statement));
                break;
            default:
                var batch = Data([.. Enumerable.Range(0, random.Next(1, 4)).Select(static i => $"{i}")]);
                var count = RecordBatchHeader.Read(batch).RecordCount;
                var ids = Enumerable.Range(0, count).Select(delta => (delta, (UInt128)random.Next(1, AllIds))).DistinctBy(id => id.Item2)
                    .ToArray();
                var header = RecordBatchHeader.Read(batch);
                Append(test, DedupeRecord.Build(new DedupeClaims(dedupe.ForgetBelow(after, random.Next(5, AllIds), out _), now, header.Crc,
                    ids), header));
                appended();
                if (random.Next(10) > 0)
                    Append(test, batch);
                break;
        }
        test.Time.Advance(random.Next(200));
        appended();
    }

    private static void Publish(TestLog test, long time, UInt128 id)
    {
        var batch = Data("x");
        Append(test, Claims(batch, time, (0, id)));
        Append(test, batch);
    }

    private static byte[] Build(DedupeStatement statement) => DedupeRecord.Build(statement, statement.Time);

    private static byte[] Claims(byte[] batch, long time, params (int, UInt128)[] ids) =>
        DedupeRecord.Build(new DedupeClaims(0, time, RecordBatchHeader.Read(batch).Crc, ids), RecordBatchHeader.Read(batch));

    private static byte[] Data(params string[] values) => Partitions.PartitionRig.Batch(1, values);

    private static long? Find(TestLog test, UInt128 id) => test.Log.State.Dedupe.Find(id, -1);

    private static void Append(TestLog test, byte[] batch)
    {
        lock (test.Log.AppendLock)
        {
            RecordBatchHeader.StampBaseOffset(batch, test.Log.LogEndOffset);
            RecordBatchHeader.StampLeaderEpoch(batch, 0);
            var header = RecordBatchHeader.Read(batch);
            if (test.Log.MustRoll(header, header.LastOffset, 0) != RollReason.None)
                test.Log.Roll(0);
            test.Log.Write([batch]);
            test.Log.ApplyAppended(header, batch, test.Time.NowMs);
        }
    }

    private static void Cut(TestLog test, long end)
    {
        lock (test.Log.RemovalLock)
            lock (test.Log.AppendLock)
                test.Log.TruncateTo(end);
    }

    private static TestLog Reopen(TestLog test, Action<MemoryFileSystem>? change = null)
    {
        var disk = ((MemoryFileSystem)test.Disk).ProcessKill();
        change?.Invoke(disk);
        return new TestLog(disk, Small);
    }

    private static void DeleteSnapshots(MemoryFileSystem disk)
    {
        foreach (var name in disk.ListFiles(TestLog.Directory).Where(name => name.EndsWith(LogFiles.Dedupe)))
            disk.DeleteFile(Path.Combine(TestLog.Directory, name));
    }

    private static string Describe(TestLog test) => Describe(test.Log.State.Dedupe);

    private static string Describe(LogDedupe dedupe) => Convert.ToHexString(dedupe.EncodeSnapshot());
}
