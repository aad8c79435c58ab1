using OrleansMq.Log;
using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Compaction;
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
    public void Staged_batch_is_seen_by_checks_until_it_is_rolled_back()
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        var batch = RecordBatchHeader.Read(Batch(test, 0, 1, 0).Span);
        lock (test.Log.AppendLock)
        {
            var state = test.Log.State;
            state.Stage(batch, 0);
            Assert.Equal(ProducerOutcome.Duplicate, state.Check(batch).Outcome);
            state.Rollback();
            Assert.Equal(ProducerOutcome.Accept, state.Check(batch).Outcome);
            Assert.True(state.IsEmpty);
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
            test.Log.State.Stage(header, 0);
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
                var batch = Batch(test, offset, producer, Next(test, producer));
                var header = RecordBatchHeader.Read(batch.Span);
                test.Log.State.Stage(header, test.Time.NowMs);
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
            test.Log.ApplyAppended(header, test.Time.NowMs);
        }
    }

    private static int Next(TestLog test, long producer) =>
        test.Log.State.Producers.TryGet(producer, out var state) && state.Count > 0 ? state[0].LastSequence + 1 : 0;

    private static Memory<byte> Batch(TestLog test, long offset, long producer, int sequence)
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(test.Time.NowMs, "key"u8, true, "value"u8, true);
        if (producer > 0)
            builder.SetProducer(producer, 0, sequence);
        var batch = builder.Build().ToArray();
        RecordBatchHeader.StampBaseOffset(batch, offset);
        RecordBatchHeader.StampLeaderEpoch(batch, 0);
        return batch;
    }

    private static List<(long Id, short Epoch, long End, string Batches)> Describe(TestLog test) =>
        [.. test.Log.State.Producers.Producers.OrderBy(p => p.Key).Select(p => (p.Key, p.Value.Epoch, test.Log.State.Producers.EndOffset,
            string.Join(' ', Enumerable.Range(0, p.Value.Count).Select(age => p.Value[age]))))];
}
