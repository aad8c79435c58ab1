using OrleansMq.Log;
using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Compaction;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Log;

/// <summary>Open and aborted transactions of a log, whichever way its batches came, compared with a model.</summary>
public sealed class LogTransactionsTests
{
    private static readonly TopicConfig Small = TopicConfig.Default with { SegmentBytes = 900, FileDeleteDelayMs = 0 };

    [Fact]
    public void Every_way_into_the_log_finds_the_same_transactions()
    {
        var random = new Random(Seeds.Next());
        for (var round = 0; round < 30; round++)
        {
            var model = new Model();
            var test = new TestLog(new MemoryFileSystem(), Small);
            for (var step = 0; step < 120; step++)
            {
                var batch = model.Next(random, test.Log.LogEndOffset);
                if (random.Next(2) == 0)
                    Stage(test, batch);
                else
                    Replicate(test, batch);
                if (random.Next(25) == 0)
                    test.Log.MoveRecoveryPoint();
                if (random.Next(25) == 0)
                    test = new TestLog(((MemoryFileSystem)test.Disk).ProcessKill(), Small);
                if (random.Next(20) == 0)
                    Truncate(test, model, random.NextInt64(test.Log.LogEndOffset + 1));
                if (random.Next(6) == 0)
                    Compare(model, test, random);
            }
            Compare(model, test, random);
            test = new TestLog(((MemoryFileSystem)test.Disk).ProcessKill(), Small);
            Compare(model, test, random);
        }
    }

    /// <summary>A compaction asks for the last stable offset at any time, without the append lock.</summary>
    [Fact]
    public async Task No_moment_of_a_truncation_takes_an_open_transaction_for_decided()
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        Replicate(test, Data(0, producer: 7, sequence: 0, transactional: true));
        using var done = new CancellationTokenSource();
        var looks = 0;
        var looking = Task.Run(() =>
        {
            var highest = 0L;
            for (; !done.IsCancellationRequested; looks++)
                highest = Math.Max(highest, test.Log.State.Transactions.StableOffset(100));
            return highest;
        });
        for (var round = 0; round < 2_000 || Volatile.Read(ref looks) < 10_000; round++)
        {
            Replicate(test, Data(1, producer: -1, sequence: -1, transactional: false));
            lock (test.Log.RemovalLock)
                lock (test.Log.AppendLock)
                    test.Log.TruncateTo(1);
        }
        await done.CancelAsync();
        Assert.Equal(0, await looking);
        Assert.Equal(0, test.Log.State.Transactions.StableOffset(100));
        Assert.Equal(1, test.Log.State.Transactions.OpenCount);
    }

    /// <summary>A power cut loses batches, and files beside the log with them. What the log then holds is what counts.</summary>
    [Fact]
    public void Power_cut_leaves_the_transactions_of_the_batches_that_are_left()
    {
        var random = new Random(Seeds.Next());
        for (var round = 0; round < 60; round++)
        {
            var model = new Model();
            var test = new TestLog(new MemoryFileSystem(), Small);
            for (var step = 0; step < 80; step++)
            {
                Replicate(test, model.Next(random, test.Log.LogEndOffset));
                if (random.Next(15) == 0)
                    test.Log.MoveRecoveryPoint();
                if (random.Next(30) == 0)
                    Truncate(test, model, random.NextInt64(test.Log.LogEndOffset + 1));
                if (random.Next(15) != 0)
                    continue;
                test = new TestLog(((MemoryFileSystem)test.Disk).PowerCut(random), Small);
                model.CutTo(test.Log.LogEndOffset);
                Compare(model, test, random, isExact: false);
            }
            Compare(model, test, random, isExact: false);
        }
    }

    [Fact]
    public void Lost_companion_holds_the_stable_offset_back_until_the_high_watermark_has_passed_its_snapshot()
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        Replicate(test, Data(0, 7, 0, transactional: true));
        Replicate(test, Data(1, 8, 0, transactional: true));
        Replicate(test, Marker(2, 7, isCommit: true));
        test.Log.MoveRecoveryPoint();
        Replicate(test, Marker(3, 8, isCommit: true));
        for (var restart = 0; restart < 2; restart++)
        {
            var disk = ((MemoryFileSystem)test.Disk).ProcessKill();
            // The second time it is whole, and still tells that something is not known.
            if (restart == 0)
                disk.DeleteFile(Path.Combine(TestLog.Directory, LogFiles.Name(3, LogFiles.Producers)));
            test = new TestLog(disk, Small);
            Assert.Equal((0, 0, 1, 4), (Stable(1), Stable(2), Stable(3), Stable(4)));
        }
        Assert.True(test.Log.State.Transactions.Advance(4));
        Assert.Equal(1, Stable(1));

        long Stable(long highWatermark) => test.Log.State.Transactions.StableOffset(highWatermark);
    }

    [Fact]
    public void Lost_companion_of_producers_without_transactions_holds_nothing_back()
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        Replicate(test, Data(0, 7, 0, transactional: false));
        test.Log.MoveRecoveryPoint();
        var disk = ((MemoryFileSystem)test.Disk).ProcessKill();
        disk.DeleteFile(Path.Combine(TestLog.Directory, LogFiles.Name(1, LogFiles.Producers)));
        test = new TestLog(disk, Small);
        Assert.Equal(1, test.Log.State.Producers.Count);
        Assert.Equal((0, 1), (test.Log.State.Transactions.StableOffset(0), test.Log.State.Transactions.StableOffset(1)));
    }

    [Fact]
    public void Damaged_index_is_found_again_in_the_log()
    {
        var random = new Random(Seeds.Next());
        var model = new Model();
        var test = new TestLog(new MemoryFileSystem(), Small);
        for (var step = 0; step < 200; step++)
            Replicate(test, model.Next(random, test.Log.LogEndOffset));
        test.Log.MoveRecoveryPoint();
        var disk = ((MemoryFileSystem)test.Disk).ProcessKill();
        var damaged = 0;
        foreach (var name in disk.ListFiles(TestLog.Directory).Where(static name => name.EndsWith(".txnindex", StringComparison.Ordinal)))
        {
            using var file = disk.Open(Path.Combine(TestLog.Directory, name), FileOpening.ReadWrite);
            file.Write([9], random.NextInt64(file.Length / TransactionIndex.EntrySize) * TransactionIndex.EntrySize);
            damaged++;
        }
        Assert.True(damaged > 0);
        Compare(model, new TestLog(disk, Small), random);
    }

    [Fact]
    public void Lost_index_is_found_again_in_the_log()
    {
        var random = new Random(Seeds.Next());
        for (var round = 0; round < 10; round++)
        {
            var model = new Model();
            var test = new TestLog(new MemoryFileSystem(), Small);
            for (var step = 0; step < 60; step++)
                Replicate(test, model.Next(random, test.Log.LogEndOffset));
            test.Log.MoveRecoveryPoint();
            for (var step = random.Next(20); step > 0; step--)
                Replicate(test, model.Next(random, test.Log.LogEndOffset));
            var disk = ((MemoryFileSystem)test.Disk).ProcessKill();
            foreach (var name in disk.ListFiles(TestLog.Directory).Where(static name => name.EndsWith(LogFiles.TransactionIndex,
                StringComparison.Ordinal)))
            {
                if (round == 0 || random.Next(2) == 0)
                    disk.DeleteFile(Path.Combine(TestLog.Directory, name));
            }
            test = new TestLog(disk, Small);
            Compare(model, test, random);
            Assert.All(test.Log.Segments, static segment => Assert.True(segment.Aborted is { HasFile: true }));
            Compare(model, new TestLog(((MemoryFileSystem)test.Disk).PowerCut(random), Small), random);
        }
    }

    /// <summary>Neither a producer nor another index tells that there were transactions: the checkpoint does.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Lost_index_of_expired_producers_is_found_again_in_the_log(bool isClean)
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        Replicate(test, Data(0, 7, 0, transactional: true));
        Replicate(test, Marker(1, 7, isCommit: false));
        test.Log.MoveRecoveryPoint();
        // A restart between keeps what the checkpoint says.
        for (var restart = 0; restart < 2; restart++)
        {
            test = new TestLog(((MemoryFileSystem)test.Disk).ProcessKill(), Small);
            test.Log.State.RemoveExpired(long.MaxValue, TimeSpan.Zero, 0);
            Assert.Equal(0, test.Log.State.Producers.Count);
            Replicate(test, Data(test.Log.LogEndOffset, -1, -1, transactional: false));
            test.Log.MoveRecoveryPoint();
        }
        var disk = ((MemoryFileSystem)test.Disk).ProcessKill();
        var path = Path.Combine(TestLog.Directory, LogFiles.Name(0, LogFiles.TransactionIndex));
        disk.DeleteFile(path);
        test = new TestLog(disk, Small, clean: isClean);
        Assert.Equal([(7L, 0L, 1L)], test.Log.FindAborted(test.Log.Segments, 0, test.Log.LogEndOffset)!
            .Select(static aborted => (aborted.ProducerId, aborted.First, aborted.Last)));
        Assert.Equal(TransactionIndex.EntrySize, disk.GetLength(path));
    }

    [Fact]
    public void Index_of_a_log_whose_checkpoint_lacks_the_flag_is_noted_in_the_next_checkpoint()
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        Replicate(test, Data(0, 7, 0, transactional: true));
        Replicate(test, Marker(1, 7, isCommit: false));
        test.Log.MoveRecoveryPoint();
        var disk = ((MemoryFileSystem)test.Disk).ProcessKill();
        var checkpoint = new PartitionCheckpoint(disk, TestLog.Directory);
        Assert.True(checkpoint.TryRead(out var state) && state.HasTransactions);
        // As brokers wrote it before the flag.
        checkpoint.Create(state with { HasTransactions = false });
        test = new TestLog(disk, Small);
        Assert.Equal([(7L, 0L, 1L)], test.Log.FindAborted(test.Log.Segments, 0, 2)!
            .Select(static aborted => (aborted.ProducerId, aborted.First, aborted.Last)));
        Replicate(test, Data(2, -1, -1, transactional: false));
        test.Log.Flush();
        Assert.True(new PartitionCheckpoint(disk, TestLog.Directory).TryRead(out state) && state.HasTransactions);
    }

    [Fact]
    public void Removed_segment_takes_its_index_along()
    {
        var random = new Random(Seeds.Next());
        var model = new Model();
        var test = new TestLog(new MemoryFileSystem(), Small);
        for (var step = 0; step < 200; step++)
            Replicate(test, model.Next(random, test.Log.LogEndOffset));
        test.Log.MoveRecoveryPoint();
        test.Log.MoveLogStart(test.Log.LogEndOffset, test.Time.NowMs);
        test.Log.DeleteAllRemoved();
        var bases = test.Log.Segments.Select(static segment => segment.BaseOffset).ToHashSet();
        Assert.All(test.Disk.ListFiles(TestLog.Directory).Where(static name => name.Contains(".txnindex", StringComparison.Ordinal)),
            name => Assert.Contains(long.Parse(name[..20], System.Globalization.CultureInfo.InvariantCulture), bases));
    }

    [Fact]
    public void Log_without_transactions_has_no_file_of_theirs()
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        for (var i = 0; i < 20; i++)
            Replicate(test, Data(test.Log.LogEndOffset, 1, i, transactional: false));
        test.Log.MoveRecoveryPoint();
        Assert.True(new PartitionCheckpoint(test.Disk, TestLog.Directory).TryRead(out var checkpoint) && !checkpoint.HasTransactions);
        Assert.DoesNotContain(test.Disk.ListFiles(TestLog.Directory), static name => name.Contains("txnindex", StringComparison.Ordinal));
        Assert.Equal(20, test.Log.State.Transactions.StableOffset(20));
        var companion = test.Disk.ListFiles(TestLog.Directory).First(static name => name.EndsWith(LogFiles.Producers));
        // Version 1, which earlier brokers read.
        Assert.Equal([0, 1], AtomicFile.TryRead(test.Disk, Path.Combine(TestLog.Directory, companion))![..2]);
    }

    [Fact]
    public void Marker_sets_the_coordinators_epoch_and_the_number()
    {
        var test = new TestLog(new MemoryFileSystem(), Small);
        Replicate(test, Data(0, 7, 0, transactional: true));
        Replicate(test, Marker(1, 7, isCommit: true, epoch: 5, coordinatorEpoch: 3, number: 12));
        test.Log.MoveRecoveryPoint();
        test = new TestLog(((MemoryFileSystem)test.Disk).ProcessKill(), Small);
        Assert.True(test.Log.State.Producers.TryGet(7, out var producer));
        Assert.Equal((5, 3, 12L, -1L),
            (producer.Epoch, producer.CoordinatorEpoch, producer.LastTransactionNumber, producer.CurrentTransactionFirstOffset));
        // The marker is not known to be below the high watermark, also after a restart.
        Assert.Equal((0, 0, 2), (Stable(1), Stable(0), Stable(2)));

        long Stable(long highWatermark) => test.Log.State.Transactions.StableOffset(highWatermark);
    }

    [Fact]
    public void Compaction_drops_aborted_records_and_leaves_what_they_would_supersede()
    {
        var test = new TestLog(new MemoryFileSystem());
        test.Append(("k", "committed"));
        test.Append(Data(0, 7, 0, transactional: true, "k", "aborted"));
        test.Append(Marker(0, 7, isCommit: false));
        test.Append(Data(0, 7, 1, transactional: true, "other", "v"));
        test.Append(Marker(0, 7, isCommit: true));
        test.Roll();
        test.Append(Data(0, 8, 0, transactional: true, "k", "open"));
        test.Roll();
        test.Compact();
        Assert.Equal([(0L, "committed"), (3L, "v"), (5L, "open")],
            test.ReadAll().Where(static entry => entry.Value is not null && entry.Key is "k" or "other")
                .Select(static entry => (entry.Offset, entry.Value!)));
        Assert.Equal(5, test.Log.State.Transactions.StableOffset(test.Log.LogEndOffset));
    }

    // Without a snapshot's companion the stable offset may be lower until the high watermark has passed the snapshot.
    private static void Compare(Model model, TestLog test, Random random, bool isExact = true)
    {
        var log = test.Log;
        Assert.Equal(model.Batches, Batches(log));
        Assert.Equal(model.Open.Count, log.State.Transactions.OpenCount);
        for (var i = 0; i < 10; i++)
        {
            var highWatermark = i == 0 ? log.LogEndOffset : random.NextInt64(log.LogEndOffset + 1);
            var stable = model.StableOffset(highWatermark);
            if (isExact || highWatermark == log.LogEndOffset)
                Assert.Equal(stable, log.State.Transactions.StableOffset(highWatermark));
            else
                Assert.InRange(log.State.Transactions.StableOffset(highWatermark), 0, stable);
            var from = random.NextInt64(stable + 1);
            var end = from + random.NextInt64(stable - from + 1);
            var found = log.FindAborted(log.Segments, from, end)!;
            Assert.Equal(found.OrderBy(static aborted => aborted.Last), found);
            Assert.Equal(model.AbortedIn(from, end), found.Select(static aborted => (aborted.ProducerId, aborted.First, aborted.Last)));
        }
    }

    private static IEnumerable<(long Producer, bool IsMarker, bool IsCommit, bool IsTransactional)> Batches(SegmentedLog log)
    {
        for (var offset = log.LogStartOffset; offset < log.LogEndOffset; offset++)
        {
            using var batch = log.Read(offset, offset + 1, 1)!;
            var header = RecordBatchHeader.Read(batch.Memory.Span);
            Assert.Equal(offset, header.BaseOffset);
            yield return (header.ProducerId, header.IsControl,
                TransactionMarker.Find(header, batch.Memory.Span) is { IsCommit: true }, header.IsTransactional);
        }
    }

    private static void Stage(TestLog test, byte[] batch)
    {
        lock (test.Log.AppendLock)
        {
            var header = RecordBatchHeader.Read(batch);
            if (test.Log.MustRoll(header, header.LastOffset, 0) != RollReason.None)
                test.Log.Roll(0);
            test.Log.State.Stage(header, batch, 0);
            test.Log.State.Rollback();
            test.Log.State.Stage(header, batch, 0);
            test.Log.Write([batch]);
            test.Log.Appended(header);
        }
    }

    private static void Replicate(TestLog test, byte[] batch)
    {
        lock (test.Log.AppendLock)
        {
            var header = RecordBatchHeader.Read(batch);
            if (test.Log.MustRoll(header, header.LastOffset, 0) != RollReason.None)
                test.Log.Roll(0);
            test.Log.Write([batch]);
            test.Log.ApplyAppended(header, batch, 0);
        }
    }

    private static void Truncate(TestLog test, Model model, long end)
    {
        lock (test.Log.RemovalLock)
            lock (test.Log.AppendLock)
                test.Log.TruncateTo(end);
        model.CutTo(test.Log.LogEndOffset);
    }

    private static byte[] Data(long offset, long producer, int sequence, bool transactional, string key = "key", string value = "value")
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(1, System.Text.Encoding.UTF8.GetBytes(key), true, System.Text.Encoding.UTF8.GetBytes(value), true);
        builder.SetProducer(producer, 0, sequence, transactional);
        return Stamp(builder.Build().ToArray(), offset);
    }

    private static byte[] Marker(long offset, long producer, bool isCommit, short epoch = 0, int coordinatorEpoch = 0, long number = 0) =>
        Stamp(new TransactionMarker(isCommit, coordinatorEpoch, number).ToBatch(producer, epoch, 1), offset);

    private static byte[] Stamp(byte[] batch, long offset)
    {
        RecordBatchHeader.StampBaseOffset(batch, offset);
        RecordBatchHeader.StampLeaderEpoch(batch, 0);
        return batch;
    }

    /// <summary>What was written: a batch is one offset.</summary>
    private sealed class Model
    {
        private readonly List<(long Producer, bool IsMarker, bool IsCommit, bool IsTransactional)> _batches = [];
        private int _sequence;

        public IReadOnlyList<(long Producer, bool IsMarker, bool IsCommit, bool IsTransactional)> Batches => _batches;

        public Dictionary<long, long> Open => Run().Open;

        public byte[] Next(Random random, long offset)
        {
            var producer = random.Next(1, 5);
            // A marker may come to a producer that has nothing open.
            var kind = random.Next(3);
            var isTransactional = kind > 0 && producer > 1;
            var isMarker = kind == 2 && isTransactional;
            var isCommit = random.Next(2) == 0;
            _batches.Add((producer, isMarker, isMarker && isCommit, isTransactional));
            return isMarker ? Marker(offset, producer, isCommit, number: random.Next(2) * offset)
                : Data(offset, producer, _sequence++, isTransactional);
        }

        public void CutTo(long end) => _batches.RemoveRange((int)end, _batches.Count - (int)end);

        public long StableOffset(long highWatermark)
        {
            var (open, ended) = Run();
            return open.Values.Concat(ended.Where(e => e.Last >= highWatermark).Select(static e => e.First)).Append(highWatermark).Min();
        }

        public IEnumerable<(long Producer, long First, long Last)> AbortedIn(long from, long end) => from >= end ? []
            : Run().Ended.Where(e => !e.IsCommit && e.Last >= from && e.First < end).Select(static e => (e.Producer, e.First, e.Last));

        private (Dictionary<long, long> Open, List<(long Producer, long First, long Last, bool IsCommit)> Ended) Run()
        {
            var open = new Dictionary<long, long>();
            var ended = new List<(long, long, long, bool)>();
            for (var offset = 0; offset < _batches.Count; offset++)
            {
                var (producer, isMarker, isCommit, isTransactional) = _batches[offset];
                if (isMarker && open.Remove(producer, out var first))
                    ended.Add((producer, first, offset, isCommit));
                else if (isTransactional && !isMarker)
                    open.TryAdd(producer, offset);
            }
            return (open, ended);
        }
    }
}
