using OrleansMq.Log;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Log;

public sealed class RemovedSegmentsTests
{
    private readonly MemoryFileSystem _files = new();
    private readonly RemovedSegments _removed = new();

    [Fact]
    public void Files_stay_until_they_are_due()
    {
        Remove(0, due: 100);
        Remove(10, due: 200);
        _removed.DeleteDue(99);
        Assert.Equal(6, Files);
        _removed.DeleteDue(100);
        Assert.Equal(3, Files);
        _removed.DeleteDue(500);
        Assert.Equal(0, Files);
    }

    [Fact]
    public void Closed_log_leaves_no_removed_files()
    {
        Remove(0, due: 100);
        Remove(10, due: 200);
        _removed.DeleteAll();
        Assert.Equal(0, Files);
    }

    private int Files => _files.ListFiles("/p").Count;

    private void Remove(long baseOffset, long due)
    {
        _files.CreateDirectory("/p");
        var segment = new Segment(new FileHandleCache(_files, 16), "/p", baseOffset);
        segment.Create(0);
        segment.Remove();
        _removed.Add(segment, due);
    }
}
