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

    private void Append(long producer = -1)
    {
        using var builder = new RecordBatchBuilder();
        if (producer >= 0)
            builder.SetProducer(producer, 0, 0);
        builder.Add(1, [1], true, [2], true);
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
