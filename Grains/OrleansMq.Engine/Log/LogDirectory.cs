using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>The directory of one log: its path, and whether its entries are durable.</summary>
/// <remarks>
/// <code>
/// Durable -- NoteChange                --> Changed   a file was created or deleted
/// Changed -- Flush, or FlushIfChanged  --> Durable
/// </code>
/// A change is noted under the append lock. Flushes run under the flush lock.
/// </remarks>
internal sealed class LogDirectory(LogPorts ports, string path)
{
    private volatile bool _isChanged;

    /// <summary>The dependencies that all logs share.</summary>
    public LogPorts Ports { get; } = ports;

    /// <summary>The directory's path.</summary>
    public string Path { get; } = path;

    /// <summary>The file system.</summary>
    public IFileSystem Files => Ports.Files;

    /// <summary>Returns the path of a segment's <c>.log</c> file.</summary>
    public string PathOfLog(long baseOffset) => System.IO.Path.Combine(Path, LogFiles.Name(baseOffset, LogFiles.Log));

    /// <summary>Returns a segment of this directory; its files may or may not exist.</summary>
    public Segment SegmentAt(long baseOffset) => new(Ports.Cache, Path, baseOffset);

    /// <summary>Records that a file was created or deleted: the next flush of the log includes the directory.</summary>
    public void NoteChange() => _isChanged = true;

    /// <summary>Makes the directory's entries durable if one has changed.</summary>
    public void FlushIfChanged()
    {
        if (_isChanged)
            Flush();
    }

    /// <summary>Makes the directory's entries durable.</summary>
    public void Flush()
    {
        // A change that is noted during the flush belongs to the next one.
        _isChanged = false;
        try
        {
            Ports.Cache.FlushDirectory(Path);
        }
        catch (IOException)
        {
            _isChanged = true;
            throw;
        }
    }
}
