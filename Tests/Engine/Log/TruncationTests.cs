using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Producers;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Log;

/// <summary>Truncation of a follower's log where its history diverges from the leader's.</summary>
public sealed class TruncationTests
{
    private const string Directory = "/p";
    private static readonly TopicConfig Config = new() { SegmentBytes = 700, IndexIntervalBytes = 150, FileDeleteDelayMs = 0 };

    [Fact]
    public void Truncated_log_keeps_its_prefix_and_accepts_appends()
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        for (var round = 0; round < 150; round++)
        {
            var files = NewFiles();
            var log = Open(files, clean: false);
            var model = new List<RecordBatchHeader>();
            for (var turn = 0; turn < 4; turn++)
            {
                for (var i = random.Next(30); i >= 0; i--)
                    model.Add(Append(log, random));
                var cut = random.NextInt64(log.LogEndOffset + 2);
                Truncate(log, cut);
                model.RemoveAll(b => b.NextOffset > cut);
                Check(log, model, Seeds.Replay(seed));
                Assert.True(log.FlushedPoint.Offset <= log.LogEndOffset);
                if (random.Next(2) == 0)
                    continue;
                // Killed, or closed cleanly.
                log.CloseFiles();
                log = Open(files, clean: random.Next(2) == 0);
                Check(log, model, Seeds.Replay(seed));
                Assert.False(log.Opening.CutMoreThanLastWrite);
            }
        }
    }

    [Fact]
    public void Emptied_log_starts_at_the_given_offset()
    {
        var files = NewFiles();
        var log = Open(files, clean: false);
        for (var i = 0; i < 40; i++)
            Append(log, new Random(i));
        Reset(log, 1000);
        Assert.Equal((1000, 1000), (log.LogStartOffset, log.LogEndOffset));
        var first = Append(log, new Random(1));
        Assert.Equal(1000, first.BaseOffset);
        Check(log, [first], "");
        log.CloseFiles();
        log = Open(files, clean: false);
        Assert.Equal(1000, log.LogStartOffset);
        Check(log, [first], "");
    }

    [Fact]
    public void Truncation_below_the_log_start_empties_the_log()
    {
        var log = Open(NewFiles(), clean: false);
        for (var i = 0; i < 40; i++)
            Append(log, new Random(i));
        log.MoveLogStart(30, 0);
        Truncate(log, 20);
        Assert.Equal((20, 20), (log.LogStartOffset, log.LogEndOffset));
    }

    /// <summary>A flush prepared before the truncation must not report truncated bytes as durable.</summary>
    [Fact]
    public async Task Earlier_background_flush_does_not_cover_truncated_bytes()
    {
        var files = NewFiles();
        var log = Open(files, clean: false);
        for (var i = 0; i < 40; i++)
            Append(log, new Random(i));
        using var taken = new ManualResetEventSlim();
        Task flush;
        lock (log.RemovalLock)
            lock (log.AppendLock)
            {
                flush = Task.Run(() =>
                {
                    taken.Set();
                    log.Flush();
                });
                Assert.True(taken.Wait(TimeSpan.FromSeconds(30)));
                log.TruncateTo(3);
            }
        await flush.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.True(log.FlushedPoint.Offset <= log.LogEndOffset);
        log.CloseFiles();
        Open(files, clean: false).CloseFiles();
    }

    /// <summary>The read has found its first batch when the segment ends before it.</summary>
    [Fact]
    public void Read_during_a_cut_is_refused_as_such()
    {
        var files = new FaultyFiles(NewFiles());
        var log = Open(files, clean: false, Config with { SegmentBytes = 1 << 20 });
        var last = default(RecordBatchHeader);
        for (var i = 0; i < 20; i++)
            last = Append(log, new Random(i));
        files.AfterRead = path =>
        {
            if (!path.EndsWith(LogFiles.Log, StringComparison.Ordinal))
                return;
            files.AfterRead = null;
            Truncate(log, 3);
        };
        Assert.Throws<CutDuringReadException>(() => log.Read(last.BaseOffset, 1000, 1 << 20));
        Assert.Null(files.AfterRead);
        Assert.Null(log.Read(last.BaseOffset, 1000, 1 << 20));
    }

    [Theory]
    [InlineData("cut", false)]
    [InlineData("cut", true)]
    [InlineData("empty", false)]
    [InlineData("empty", true)]
    public void Interrupted_truncation_leaves_a_log_that_opens(string what, bool powerCut)
    {
        var seed = Seeds.Next();
        for (var step = 0; ; step++)
        {
            Assert.True(step < 500, "The operation never completed.");
            var memory = NewFiles();
            var dying = new StepFiles(memory, step);
            var log = Open(dying, clean: false);
            var model = new List<RecordBatchHeader>();
            for (var i = 0; i < 40; i++)
                model.Add(Append(log, new Random(i)));
            log.MoveRecoveryPoint();
            var cut = model[12].BaseOffset;
            dying.Arm();
            try
            {
                if (what == "cut")
                    Truncate(log, cut);
                else
                    Reset(log, 5000);
            }
            catch (IOException)
            {
                // Killed at this step.
            }
            IFileSystem next = powerCut ? memory.PowerCut(new Random(unchecked(seed + step))) : memory.ProcessKill();
            log = Open(next, clean: false);
            var told = $"{what}, step {step}; {Seeds.Replay(seed)}";
            if (what == "empty" && log.LogStartOffset == 5000)
                model.Clear();
            else
                model.RemoveAll(b => b.NextOffset > log.LogEndOffset);
            Check(log, model, told);
            Assert.True(log.LogEndOffset >= cut, told);
            Assert.False(log.Opening.CutMoreThanLastWrite, told);
            if (!dying.HasDied)
            {
                Assert.Equal(what == "cut" ? cut : 5000, log.LogEndOffset);
                return;
            }
            if (what == "cut")
                Truncate(log, cut);
            else
                Reset(log, 5000);
            model.RemoveAll(b => b.NextOffset > log.LogEndOffset || what == "empty");
            Check(log, model, told);
        }
    }

    private static void Truncate(SegmentedLog log, long cut)
    {
        lock (log.RemovalLock)
            lock (log.AppendLock)
                log.TruncateTo(cut);
    }

    /// <summary>A flush that was scheduled before must not say that the log is whole.</summary>
    [Fact]
    public void Interrupted_emptying_is_completed_by_the_next_opening_whatever_is_flushed_in_between()
    {
        var files = new FaultyFiles(NewFiles());
        var log = Open(files, clean: false);
        for (var i = 0; i < 40; i++)
            Append(log, new Random(i));
        files.OnChange = () => files.OnOpen = log.IsHalfCut ? FaultyFiles.NoHandle : null;
        Assert.Throws<IOException>(() => Reset(log, 1000));
        (files.OnChange, files.OnOpen) = (null, null);
        Assert.True(log.IsCutInterrupted);
        Assert.Throws<InterruptedCutException>(log.Flush);
        Assert.Throws<InterruptedCutException>(() => log.MoveRecoveryPoint());
        Assert.Throws<InterruptedCutException>(() => log.RaiseFence(7));
        log.ForgetIncarnation();
        log.CloseFiles();
        log = Open(files, clean: false);
        Assert.Equal((1000, 1000), (log.LogStartOffset, log.LogEndOffset));
        var first = Append(log, new Random(1));
        Check(log, [first], "");
    }

    private static void Reset(SegmentedLog log, long start)
    {
        lock (log.RemovalLock)
            lock (log.AppendLock)
                log.ResetTo(start);
    }

    private static void Check(SegmentedLog log, List<RecordBatchHeader> model, string told)
    {
        Assert.True(log.LogEndOffset == (model.Count > 0 ? model[^1].NextOffset : log.LogStartOffset), $"{log.LogEndOffset}; {told}");
        var offset = log.LogStartOffset;
        foreach (var batch in model)
        {
            using var read = log.Read(offset, log.LogEndOffset, 1);
            Assert.True(read is not null, told);
            Assert.Equal(batch, RecordBatchHeader.Read(read.Memory.Span));
            offset = read.NextOffset;
        }
        Assert.Null(log.Read(offset, log.LogEndOffset, 1));
        var largest = model.Count == 0 ? -1 : model.Max(b => b.MaxTimestamp);
        Assert.Equal(largest, log.FindMaxTimestamp(log.LogEndOffset)?.Timestamp ?? -1);
        var producers = new ProducerStateManager();
        foreach (var batch in model)
            producers.Apply(batch, 0);
        Assert.Equal(producers.Count, log.State.Producers.Count);
        foreach (var (id, state) in producers.Producers)
        {
            Assert.True(log.State.Producers.TryGet(id, out var known), told);
            Assert.Equal(state.Count > 0 ? state[0] : default, known.Count > 0 ? known[0] : default);
        }
    }

    private static RecordBatchHeader Append(SegmentedLog log, Random random)
    {
        using var builder = new RecordBatchBuilder();
        for (var i = random.Next(3); i >= 0; i--)
            builder.Add(random.Next(1_000_000), new byte[random.Next(60)], true, new byte[random.Next(60)], true);
        var producer = random.Next(4);
        if (producer > 0)
        {
            var next = log.State.Producers.TryGet(producer, out var state) && state.Count > 0 ? state[0].LastSequence + 1 : 0;
            builder.SetProducer(producer, 0, next);
        }
        var batch = builder.Build();
        lock (log.AppendLock)
        {
            RecordBatchHeader.StampBaseOffset(batch.Span, log.LogEndOffset);
            RecordBatchHeader.StampLeaderEpoch(batch.Span, 0);
            var header = RecordBatchHeader.Read(batch.Span);
            if (log.MustRoll(header, header.LastOffset, 0) != RollReason.None)
                log.Roll(0);
            log.Write([batch]);
            log.ApplyAppended(header, batch.Span, 0);
            return header;
        }
    }

    private static SegmentedLog Open(IFileSystem files, bool clean, TopicConfig? config = null) =>
        SegmentedLog.Open(new LogPorts(new FileHandleCache(files, 64), TimeProvider.System, EngineLog.Silent, CompressionCodecs.Empty,
            VerifyOnRead: true),
            Directory, config ?? Config, clean);

    private static MemoryFileSystem NewFiles()
    {
        var files = new MemoryFileSystem();
        files.CreateDirectory(Directory);
        files.FlushDirectory("/");
        return files;
    }
}
