using OrleansMq.Log;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Storage;

namespace OrleansMq.Tests.Engine.Log;

public sealed class LogWritebackTests
{
    private const long Least = WritebackStep.MinBytes;

    private readonly List<(string File, long From, long To, bool Wait)> _calls = [];
    private readonly FileHandleCache _cache;
    private readonly LogWriteback _writeback = new();

    public LogWritebackTests()
    {
        var memory = new MemoryFileSystem();
        memory.CreateDirectory("/p");
        _cache = new FileHandleCache(new RecordingFiles(memory, _calls), 16);
    }

    [Fact]
    public void Step_is_awaited_when_the_next_one_begins()
    {
        var segment = SegmentAt(0);
        Grow(segment, Least, wait: true);
        Grow(segment, 2 * Least, wait: true);
        Assert.Equal([(segment.Log.Path, 0, Least, false), (segment.Log.Path, Least, 2 * Least, false),
            (segment.Log.Path, 0, Least, true)], _calls);
    }

    [Fact]
    public void Writeback_without_wait_only_starts_steps()
    {
        var segment = SegmentAt(0);
        Grow(segment, Least, wait: false);
        Grow(segment, 2 * Least, wait: false);
        Assert.All(_calls, call => Assert.False(call.Wait));
        Assert.Equal(2, _calls.Count);
    }

    [Fact]
    public void New_active_segment_begins_at_its_start()
    {
        Grow(SegmentAt(0), 2 * Least, wait: true);
        var next = SegmentAt(10);
        Grow(next, Least, wait: true);
        Assert.Equal((next.Log.Path, 0L, Least, false), _calls[^1]);
        Assert.Equal(2, _calls.Count);
    }

    [Fact]
    public void Removed_segment_needs_no_writeback()
    {
        var segment = SegmentAt(0);
        segment.Remove();
        segment.DeleteFiles();
        Grow(segment, Least, wait: true);
        Assert.Empty(_calls);
    }

    private void Grow(Segment segment, long size, bool wait)
    {
        segment.Found(size, segment.BaseOffset, flushed: false);
        _writeback.Advance(segment, wait);
    }

    private Segment SegmentAt(long baseOffset)
    {
        var segment = new Segment(_cache, "/p", baseOffset);
        segment.Create(0);
        return segment;
    }

    private sealed class RecordingFiles(IFileSystem inner, List<(string File, long From, long To, bool Wait)> calls)
        : WrappedFileSystem(inner)
    {
        public override IFile Open(string path, FileOpening mode) => new RecordingFile(Inner.Open(path, mode), calls);
    }

    private sealed class RecordingFile(IFile inner, List<(string File, long From, long To, bool Wait)> calls) : WrappedFile(inner)
    {
        public override void WriteBack(long position, long length, bool wait) => calls.Add((Path, position, position + length, wait));
    }
}
