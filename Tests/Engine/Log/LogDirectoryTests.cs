using OrleansMq.Diagnostics;
using OrleansMq.Log;
using OrleansMq.Records;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Storage;

namespace OrleansMq.Tests.Engine.Log;

public sealed class LogDirectoryTests
{
    private readonly CountingFiles _files = new(new MemoryFileSystem());
    private readonly LogDirectory _directory;

    public LogDirectoryTests()
    {
        _files.CreateDirectory("/p");
        var ports = new LogPorts(new FileHandleCache(_files, 4), TimeProvider.System, EngineLog.Silent, CompressionCodecs.Empty, true);
        _directory = new LogDirectory(ports, "/p");
        _files.Changes = 0;
    }

    [Fact]
    public void Change_is_flushed_once()
    {
        _directory.FlushIfChanged();
        Assert.Equal(0, _files.Changes);
        _directory.NoteChange();
        _directory.FlushIfChanged();
        _directory.FlushIfChanged();
        Assert.Equal(1, _files.Changes);
    }

    [Fact]
    public void Change_during_a_flush_belongs_to_the_next_one()
    {
        _directory.NoteChange();
        _files.OnChange = _directory.NoteChange;
        _directory.FlushIfChanged();
        _files.OnChange = null;
        _directory.FlushIfChanged();
        _directory.FlushIfChanged();
        Assert.Equal(2, _files.Changes);
    }

    private sealed class CountingFiles(IFileSystem inner) : WrappedFileSystem(inner)
    {
        public int Changes { get; set; }
        public Action? OnChange { get; set; }

        public override IFile Open(string path, FileOpening mode) => Inner.Open(path, mode);

        protected override void Changing()
        {
            Changes++;
            OnChange?.Invoke();
        }
    }
}
