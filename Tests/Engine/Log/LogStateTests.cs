using OrleansMq.Log;
using OrleansMq.Producers;
using OrleansMq.Queues;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Compaction;
using OrleansMq.Tests.Engine.Queues;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Log;

/// <summary>Leader, follower, recovery and rebuild derive the same state from the same batches.</summary>
public sealed class LogStateTests
{
    private static readonly TopicConfig Small = TopicConfig.Default with { SegmentBytes = 600, FileDeleteDelayMs = 0 };

    [Fact]
    public void Every_way_into_the_log_applies_the_same_state()
    {
        var random = new Random(Seeds.Next());
        var leader = new TestLog(new MemoryFileSystem(), Small);
        var follower = new TestLog(new MemoryFileSystem(), Small);
        for (var group = 0; group < 30; group++)
        {
            var batches = Stage(leader, random);
            if (random.Next(4) == 0)
            {
                lock (leader.Log.AppendLock)
                    leader.Log.State.Rollback();
                continue;
            }
            lock (leader.Log.AppendLock)
            {
                leader.Log.Write(batches);
                foreach (var batch in batches)
                    leader.Log.Appended(RecordBatchHeader.Read(batch.Span));
            }
            foreach (var batch in batches)
                Replicate(follower, batch);
            if (random.Next(5) == 0)
                leader.Roll();
        }
        var expected = Describe(leader);
        Assert.NotEmpty(expected);
        Assert.Equal(expected, Describe(follower));

        Assert.Equal(expected, Describe(new TestLog(leader.Disk, Small)));
        var end = follower.Log.LogEndOffset;
        Replicate(follower, Batch(follower, end, 1, Next(follower, 1)));
        lock (follower.Log.RemovalLock)
            lock (follower.Log.AppendLock)
                follower.Log.TruncateTo(end);
        Assert.Equal(expected, Describe(follower));
    }

    [Fact]
    public void Cursors_from_snapshots_and_log_equal_those_from_the_log_alone()
    {
        var random = new Random(Seeds.Next());
        for (var round = 0; round < 20; round++)
        {
            var test = new TestLog(new MemoryFileSystem(), Small);
            var after = new List<(long End, string Cursors)>();
            for (var i = 0; i < 60; i++)
            {
                var offset = test.Log.LogEndOffset;
                Replicate(test, random.Next(3) == 0 ? Batch(test, offset, 0, 0)
                    : new RandomTransitions(random).NextBatch(test.Log.State.Cursors, offset));
                after.Add((test.Log.LogEndOffset, Describe(test.Log.State.Cursors)));
                if (random.Next(20) == 0)
                    test.Log.MoveRecoveryPoint();
            }
            Assert.Contains(test.Disk.ListFiles(TestLog.Directory),
                static name => name.EndsWith(LogFiles.Cursors, StringComparison.Ordinal));
            test = Reopen(test);
            Assert.Equal(after[^1].Cursors, Describe(test.Log.State.Cursors));
            // Wherever the log is cut, and without any snapshot.
            var (end, expected) = after[random.Next(after.Count)];
            lock (test.Log.RemovalLock)
                lock (test.Log.AppendLock)
                    test.Log.TruncateTo(end);
            Assert.Equal(expected, Describe(test.Log.State.Cursors));
            Assert.Equal(expected, Describe(Reopen(test, DeleteSnapshots).Log.State.Cursors));
        }
    }

    [Fact]
    public void Damaged_snapshot_of_cursors_is_passed_over()
    {
        var random = new Random(Seeds.Next());
        var test = new TestLog(new MemoryFileSystem(), Small);
        for (var i = 0; i < 30; i++)
            Replicate(test, new RandomTransitions(random).NextBatch(test.Log.State.Cursors, test.Log.LogEndOffset));
        test.Log.MoveRecoveryPoint();
        var expected = Describe(test.Log.State.Cursors);
        test = Reopen(test, static disk =>
        {
            foreach (var name in disk.ListFiles(TestLog.Directory).Where(name => name.EndsWith(LogFiles.Cursors)))
                AtomicFile.Write(disk, Path.Combine(TestLog.Directory, name), [1, 2, 3]);
        });
        Assert.Equal(expected, Describe(test.Log.State.Cursors));
    }

    [Fact]
    public void Transitions_are_applied_when_they_are_written_and_not_if_the_write_is_abandoned()
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        var batch = new RandomTransitions(new Random(1)).NextBatch(test.Log.State.Cursors, 0);
        var header = RecordBatchHeader.Read(batch.Span);
        lock (test.Log.AppendLock)
        {
            test.Log.State.Stage(header, batch.Span, 0);
            Assert.Empty(test.Log.State.Cursors.Cursors);
            test.Log.State.Rollback();
            Assert.Empty(test.Log.State.Cursors.Cursors);
            test.Log.State.Stage(header, batch.Span, 0);
            test.Log.Write([batch]);
            Assert.NotEmpty(test.Log.State.Cursors.Cursors);
        }
    }

    /// <summary>The end of an open transaction is the marker of its producer; transitions of cursors have none.</summary>
    [Fact]
    public void Transitions_change_no_producer()
    {
        var random = new Random(Seeds.Next());
        var test = new TestLog(new MemoryFileSystem(), Small);
        Replicate(test, Batch(test, 0, 1, 0, transactional: true));
        for (var i = 0; i < 5; i++)
            Replicate(test, new RandomTransitions(random).NextBatch(test.Log.State.Cursors, test.Log.LogEndOffset));
        Assert.True(test.Log.State.Producers.TryGet(1, out var producer));
        Assert.Equal((0, 1, 1), (producer.CurrentTransactionFirstOffset, producer.Count, test.Log.State.Producers.Count));
    }

    [Fact]
    public void Log_may_start_at_a_statement_once_it_is_in_force()
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        var state = test.Log.State;
        Replicate(test, Batch(test, 0, 0, 0));
        Assert.Equal(long.MaxValue, StartBound(1));
        var incarnation = Guid.NewGuid();
        Write(new CursorStatement(0, incarnation,
            CursorStateFormat.Encode(new CursorState(0, incarnation, new CursorConfiguration { Name = "c" }, 0))));
        Assert.Equal(1, StartBound(2));
        Write(new CursorDelta(0, incarnation) { DeliveredUpTo = 5 });
        Write(new CursorStatement(0, incarnation, CursorStateFormat.Encode(state.Cursors.Cursors[0])));
        Assert.Equal((1, 3), (StartBound(3), StartBound(4)));
        var intent = new DeadLetterIntent(0, incarnation, 2, default, SettlementCause.Rejected, new DeliveryCounts(1, 0), 7);
        Write(new CursorDelta(0, incarnation) { Intents = [intent] });
        Assert.Equal(2, StartBound(5));
        Write(new CursorDelta(0, incarnation) { Finished = [new FinishedIntent(0, IsPublished: true)] });
        Assert.Equal((2, 3), (StartBound(5), StartBound(6)));
        Write(new CursorRemoval(0, incarnation));
        Assert.Equal((3, long.MaxValue), (StartBound(6), StartBound(7)));

        // What the transitions before a rebuild replaced is known once they are in force.
        test.Log.MoveRecoveryPoint();
        var reopened = new TestLog(test.Disk, Small).Log.State;
        Assert.Equal((0, long.MaxValue), (reopened.StartBound(6), reopened.StartBound(7)));

        long StartBound(long highWatermark) => state.StartBound(highWatermark);

        void Write(CursorTransition transition)
        {
            using var builder = new RecordBatchBuilder();
            CursorControlRecord.AddTo(builder, 1, [transition]);
            var batch = builder.Build().ToArray();
            RecordBatchHeader.StampBaseOffset(batch, test.Log.LogEndOffset);
            RecordBatchHeader.StampLeaderEpoch(batch, 0);
            Replicate(test, batch);
        }
    }

    [Fact]
    public void Staged_batch_is_seen_by_checks_until_it_is_rolled_back()
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        var bytes = Batch(test, 0, 1, 0);
        var batch = RecordBatchHeader.Read(bytes.Span);
        lock (test.Log.AppendLock)
        {
            var state = test.Log.State;
            state.Stage(batch, bytes.Span, 0);
            Assert.Equal(ProducerOutcome.Duplicate, state.Check(batch).Outcome);
            state.Rollback();
            Assert.Equal(ProducerOutcome.Accept, state.Check(batch).Outcome);
            Assert.Equal(StateKinds.None, state.Known);
        }
    }

    [Fact]
    public void Failed_write_rolls_the_state_back()
    {
        var disk = new MemoryFileSystem();
        var test = new TestLog(disk, Small);
        var batch = Batch(test, 0, 1, 0);
        var header = RecordBatchHeader.Read(batch.Span);
        test.Log.CloseFiles();
        disk.DeleteFile(test.Log.Active.Log.Path);
        lock (test.Log.AppendLock)
        {
            test.Log.State.Stage(header, batch.Span, 0);
            Assert.ThrowsAny<IOException>(() => test.Log.Write([batch]));
            Assert.Equal(ProducerOutcome.Accept, test.Log.State.Check(header).Outcome);
        }
    }

    private static List<ReadOnlyMemory<byte>> Stage(TestLog test, Random random)
    {
        var batches = new List<ReadOnlyMemory<byte>>();
        lock (test.Log.AppendLock)
        {
            var offset = test.Log.LogEndOffset;
            for (var i = random.Next(4); i >= 0; i--)
            {
                var producer = random.Next(4);
                // One control batch a write: the next is built from the state that it leaves.
                var isControl = i == 0 && random.Next(2) == 0;
                var batch = isControl ? new RandomTransitions(random).NextBatch(test.Log.State.Cursors, offset)
                    : Batch(test, offset, producer, Next(test, producer));
                var header = RecordBatchHeader.Read(batch.Span);
                test.Log.State.Stage(header, batch.Span, test.Time.NowMs);
                offset = header.NextOffset;
                batches.Add(batch);
            }
        }
        return batches;
    }

    private static void Replicate(TestLog test, ReadOnlyMemory<byte> batch)
    {
        lock (test.Log.AppendLock)
        {
            var header = RecordBatchHeader.Read(batch.Span);
            if (test.Log.MustRoll(header, header.LastOffset, 0) != RollReason.None)
                test.Log.Roll(0);
            test.Log.Write([batch]);
            test.Log.ApplyAppended(header, batch.Span, test.Time.NowMs);
        }
    }

    private static int Next(TestLog test, long producer) =>
        test.Log.State.Producers.TryGet(producer, out var state) && state.Count > 0 ? state[0].LastSequence + 1 : 0;

    private static Memory<byte> Batch(TestLog test, long offset, long producer, int sequence, bool transactional = false)
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(test.Time.NowMs, "key"u8, true, "value"u8, true);
        if (producer > 0)
            builder.SetProducer(producer, 0, sequence, transactional);
        var batch = builder.Build().ToArray();
        RecordBatchHeader.StampBaseOffset(batch, offset);
        RecordBatchHeader.StampLeaderEpoch(batch, 0);
        return batch;
    }

    private static TestLog Reopen(TestLog test, Action<MemoryFileSystem>? change = null)
    {
        var disk = ((MemoryFileSystem)test.Disk).ProcessKill();
        change?.Invoke(disk);
        return new TestLog(disk, Small);
    }

    private static void DeleteSnapshots(MemoryFileSystem disk)
    {
        foreach (var name in disk.ListFiles(TestLog.Directory).Where(name => name.EndsWith(LogFiles.Cursors)))
            disk.DeleteFile(Path.Combine(TestLog.Directory, name));
    }

    private static List<string> Describe(TestLog test)
    {
        var state = test.Log.State;
        return [.. state.Producers.Producers.OrderBy(p => p.Key).Select(p => $"{p.Key} {p.Value.Epoch} {state.Producers.EndOffset} "
            + string.Join(' ', Enumerable.Range(0, p.Value.Count).Select(age => p.Value[age]))), Describe(state.Cursors)];
    }

    private static string Describe(LogCursors cursors) => Convert.ToHexString(cursors.EncodeSnapshot());
}
