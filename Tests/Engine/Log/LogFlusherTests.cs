using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Log;

/// <summary>Which files a flush touches, and what it moves.</summary>
public sealed class LogFlusherTests
{
    private const string Directory = "/p";

    private readonly List<string> _flushed = [];
    private readonly MemoryFileSystem _memory = new();
    private readonly FaultyFiles _files;
    private readonly LogParts _log;
    private readonly LogFlusher _flusher;
    private readonly SegmentRoller _roller;

    public LogFlusherTests()
    {
        _memory.CreateDirectory(Directory);
        _files = new FaultyFiles(_memory) { OnFlush = path => _flushed.Add(Path.GetFileName(path)) };
        var ports = new LogPorts(new FileHandleCache(_files, 16), TimeProvider.System, EngineLog.Silent, CompressionCodecs.Empty, true);
        _log = new LogParts(ports, Directory, TopicConfig.Default);
        _flusher = new LogFlusher(_log);
        _roller = new SegmentRoller(_log);
        var first = _log.Directory.SegmentAt(0);
        first.Create(0);
        _log.Segments.Set([first]);
        _log.State.Reset(0);
        _log.Points.Create(_log.Segments.End);
        _flushed.Clear();
    }

    [Fact]
    public void Flush_touches_only_segments_that_were_written()
    {
        Append();
        _flusher.Flush();
        Assert.Equal([LogFiles.Name(0, ".log"), LogFiles.Checkpoint], _flushed);
        _flushed.Clear();
        _roller.Roll(0);
        Append();
        _flusher.Flush();
        Assert.Equal([LogFiles.Name(1, ".log"), LogFiles.Checkpoint], _flushed);
        _flushed.Clear();
        _flusher.Flush();
        Assert.Empty(_flushed);
    }

    [Fact]
    public void Flush_without_securing_leaves_the_checkpoint()
    {
        Append();
        _flusher.FlushTo(_log.Segments.End, secure: false);
        Assert.Equal([LogFiles.Name(0, ".log")], _flushed);
        Assert.Equal((1L, 0L), (_log.Points.FlushedPoint.Offset, _log.Points.SecuredOffset));
        _flusher.Flush();
        Assert.Equal([LogFiles.Name(0, ".log"), LogFiles.Checkpoint], _flushed);
        Assert.Equal(1, _log.Points.SecuredOffset);
    }

    [Fact]
    public void Recovery_point_moves_with_durable_indexes()
    {
        Append();
        Assert.True(_flusher.MoveRecoveryPoint());
        Assert.Equal(_log.Segments.End, _log.Points.RecoveryPoint);
        Assert.Equal([LogFiles.Name(0, ".log"), LogFiles.Name(0, ".index"), LogFiles.Name(0, ".timeindex"), LogFiles.Checkpoint], _flushed);
        Assert.False(_flusher.MoveRecoveryPoint());
    }

    [Fact]
    public void Idle_log_releases_its_index_buffers()
    {
        Append();
        _flusher.MoveRecoveryPoint();
        Assert.NotEqual(0, _log.Segments.Active.IndexBufferBytes);
        _flusher.MoveRecoveryPoint();
        Assert.Equal(0, _log.Segments.Active.IndexBufferBytes);
    }

    /// <summary>The system reports a failed flush once. The next one would succeed without the bytes that it dropped.</summary>
    [Theory]
    [InlineData(LogFiles.Log)]
    [InlineData(LogFiles.Index)]
    [InlineData(LogFiles.Snapshot + AtomicFile.TemporarySuffix)]
    [InlineData(LogFiles.Checkpoint)]
    public void Nothing_is_flushed_after_a_failed_flush(string file)
    {
        Append(producer: 7);
        var failures = 0;
        _files.OnFlush = path =>
        {
            _flushed.Add(Path.GetFileName(path));
            if (path.EndsWith(file, StringComparison.Ordinal) && failures++ == 0)
                throw new IOException("Input/output error");
        };
        Assert.Throws<IOException>(() => _flusher.MoveRecoveryPoint());
        Assert.Equal(1, failures);
        AssertNothingIsFlushed("Input/output error");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Nothing_is_flushed_after_a_failed_write_back(bool diskFull)
    {
        Append(bytes: WritebackStep.MinBytes);
        var fault = diskFull ? new DiskFullException("/p") : new IOException("Input/output error");
        _files.OnWriteBack = _ =>
        {
            _files.OnWriteBack = null;
            throw fault;
        };
        Assert.Same(fault, Assert.ThrowsAny<IOException>(() => _flusher.WriteBack(wait: false)));
        Assert.Null(_files.OnWriteBack);
        AssertNothingIsFlushed(fault.Message);
    }

    [Fact]
    public void Write_back_that_found_no_handle_is_tried_again()
    {
        Append(bytes: WritebackStep.MinBytes);
        _log.Segments.Active.CloseFiles();
        _files.OnOpen = FaultyFiles.NoHandle;
        Assert.Throws<IOException>(() => _flusher.WriteBack(wait: false));
        var written = 0;
        (_files.OnOpen, _files.OnWriteBack) = (null, _ => written++);
        _flusher.WriteBack(wait: false);
        Assert.Equal(1, written);
    }

    [Fact]
    public void Segment_that_leaves_the_log_during_a_flush_needs_none()
    {
        Append();
        _roller.Roll(0);
        Append();
        var first = _log.Segments.All[0];
        first.CloseFiles();
        _files.OnOpen = path =>
        {
            if (path != first.Log.Path)
                return;
            _files.OnOpen = null;
            _log.Segments.RemoveFirst(1);
            first.Remove();
            first.DeleteFiles();
        };
        _flusher.Flush();
        Assert.Null(_files.OnOpen);
        Assert.Equal(2, _log.Points.SecuredOffset);
        _flusher.Flush();
    }

    [Fact]
    public void Flush_that_found_no_handle_is_tried_again()
    {
        Append();
        _log.Segments.Active.CloseFiles();
        _files.OnOpen = FaultyFiles.NoHandle;
        Assert.Throws<IOException>(_flusher.Flush);
        _files.OnOpen = null;
        _flusher.Flush();
        Assert.Equal(1, _log.Points.SecuredOffset);
    }

    [Fact]
    public void Roll_at_the_offset_of_snapshots_that_are_being_made_durable_leaves_their_files()
    {
        Append(producer: 7);
        var rolls = 0;
        _files.OnFlush = path =>
        {
            // Of the same offset, after the temporary file is written.
            if (path.EndsWith(LogFiles.Producers + AtomicFile.TemporarySuffix, StringComparison.Ordinal) && rolls++ == 0)
                _roller.Roll(0);
        };
        Assert.True(_flusher.MoveRecoveryPoint());
        Assert.Equal((1, 2), (rolls, _log.Segments.All.Length));
        var names = _memory.PowerCut(new Random(1)).ListFiles(Directory);
        Assert.Contains(LogFiles.Name(1, LogFiles.Producers), names);
        Assert.Contains(LogFiles.Name(1, LogFiles.Snapshot), names);
    }

    [Fact]
    public async Task Snapshots_are_made_durable_after_a_roll_at_their_offset_has_written_them()
    {
        Append(producer: 7);
        Task? flushing = null;
        var written = 0;
        var temporary = LogFiles.Name(1, LogFiles.Producers) + AtomicFile.TemporarySuffix;
        _files.OnWrite = (path, _, _) =>
        {
            if (!path.EndsWith(temporary, StringComparison.Ordinal) || Interlocked.Increment(ref written) > 1)
                return;
            flushing = Task.Run(() => _flusher.MoveRecoveryPoint());
            // A save that does not wait has its own file in the place of this one by then.
            flushing.Wait(TimeSpan.FromMilliseconds(200));
            Assert.Equal(1, Volatile.Read(ref written));
        };
        _roller.Roll(0);
        await flushing!;
        Assert.Equal(2, written);
        Assert.Contains(LogFiles.Name(1, LogFiles.Producers), _memory.PowerCut(new Random(1)).ListFiles(Directory));
    }

    private void AssertNothingIsFlushed(string reason)
    {
        _flushed.Clear();
        Action[] flushes = [_flusher.Flush, () => _flusher.FlushTo(_log.Segments.End, secure: true), () => _flusher.MoveRecoveryPoint(),
            () => _flusher.WriteBack(wait: true), () => _log.Points.RaiseFence(3)];
        foreach (var flush in flushes)
            Assert.Contains($"an earlier flush failed: {reason}", Assert.Throws<IOException>(flush).Message, StringComparison.Ordinal);
        Assert.Empty(_flushed);
        Assert.Equal((0L, 0L), (_log.Points.SecuredOffset, _log.Points.RecoveryPoint.Offset));
        _log.Points.ForgetIncarnation();
    }

    private void Append(long producer = -1, int bytes = 1)
    {
        using var builder = new RecordBatchBuilder();
        if (producer >= 0)
            builder.SetProducer(producer, 0, 0);
        builder.Add(1, [1], true, new byte[bytes], true);
        var batch = builder.Build();
        var active = _log.Segments.Active;
        RecordBatchHeader.StampBaseOffset(batch.Span, active.NextOffset);
        RecordBatchHeader.StampLeaderEpoch(batch.Span, 0);
        using (var lease = active.Log.Rent())
            lease.File.Write(batch.Span, active.Size);
        var header = RecordBatchHeader.Read(batch.Span);
        if (producer >= 0)
            _log.State.Apply(header, batch.Span, 0);
        active.Appended(header, active.Size, 0);
    }
}
