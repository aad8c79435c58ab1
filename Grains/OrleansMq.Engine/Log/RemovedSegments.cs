namespace OrleansMq.Log;

/// <summary>
/// Segments that have left a log, until their files are deleted. The files stay for <c>file.delete.delay.ms</c>, for readers that are still
/// inside. After a crash the next opening deletes them. Thread safe.
/// </summary>
internal sealed class RemovedSegments
{
    private readonly Queue<(Segment Segment, long Due)> _queue = new();

    /// <summary>Adds a segment whose files already have their names for deletion.</summary>
    /// <param name="segment">The segment.</param>
    /// <param name="due">When to delete its files, in milliseconds since 1970.</param>
    public void Add(Segment segment, long due)
    {
        lock (_queue)
            _queue.Enqueue((segment, due));
    }

    /// <summary>Deletes the files of segments that are due. Segments are deleted in the order of their removal.</summary>
    public void DeleteDue(long now)
    {
        while (true)
        {
            Segment segment;
            lock (_queue)
            {
                if (_queue.Count == 0 || _queue.Peek().Due > now)
                    return;
                segment = _queue.Dequeue().Segment;
            }
            segment.DeleteFiles();
        }
    }

    /// <summary>Closes the files of all segments, each once it is not in use. They stay, and are deleted when they are due.</summary>
    public void CloseFiles()
    {
        Segment[] segments;
        lock (_queue)
            segments = [.. _queue.Select(static entry => entry.Segment)];
        foreach (var segment in segments)
            segment.CloseFiles();
    }

    /// <summary>Deletes the files of all segments, since the log is closed.</summary>
    public void DeleteAll() => DeleteDue(long.MaxValue);
}
