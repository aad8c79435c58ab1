using OrleansMq.Diagnostics;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>
/// A bounded cache of the open handles of all segments' files. Files are opened on use and closed when others need the room (second chance:
/// a handle used since the hand last passed stays). A leased handle is never closed, so leases beyond the bound exceed it temporarily.
/// <para>Closing a handle loses nothing, since written bytes are in the page cache. The segments, not the cache, remember which files still
/// need a flush.</para>
/// <para>Locks: <c>_lock</c> guards the list of open files. The monitor of a <see cref="CachedFile"/> guards its opening and closing. It is
/// taken before <c>_lock</c>, or tried (without waiting) under it.</para>
/// </summary>
internal sealed class FileHandleCache(IFileSystem files, int capacity)
{
    private readonly Lock _lock = new();
    private readonly List<CachedFile> _open = [];
    private int _hand;

    /// <summary>The file system.</summary>
    public IFileSystem Files { get; } = files;

    /// <summary>The number of open handles.</summary>
    public int OpenCount
    {
        get
        {
            lock (_lock)
                return _open.Count;
        }
    }

    /// <summary>Opens a file. Where there are no handles left, idle ones are closed first: connections may have taken the rest.</summary>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    internal IFile Open(string path, FileOpening mode)
    {
        while (true)
        {
            try
            {
                return Files.Open(path, mode);
            }
            catch (IOException fault) when (DiskFaults.IsScarcity(fault) && TryCloseSome())
            {
                // Another attempt. There are fewer files to close each time.
            }
        }
    }

    /// <summary>Finds out whether handles are left, for work that must not end half-way for lack of them. Others may still take them
    /// before it does.</summary>
    /// <param name="path">A file that exists.</param>
    /// <param name="count">The number of handles.</param>
    /// <exception cref="IOException">There are fewer.</exception>
    internal void Probe(string path, int count)
    {
        var opened = new List<IFile>(count);
        try
        {
            while (opened.Count < count)
                opened.Add(Open(path, FileOpening.Read));
        }
        finally
        {
            foreach (var file in opened)
                file.Dispose();
        }
    }

    /// <summary>Flushes a directory. Where there is no handle to open it with, idle files are closed first.</summary>
    /// <exception cref="IOException">As of <see cref="FlushOnce.FlushDirectory"/>.</exception>
    internal void FlushDirectory(string path)
    {
        while (true)
        {
            try
            {
                FlushOnce.FlushDirectory(Files, path);
                return;
            }
            catch (IOException fault) when (DiskFaults.IsNoHandle(fault) && TryCloseSome())
            {
                // The directory was not opened, so no flush has failed.
            }
        }
    }

    /// <summary>Adds a file after it was opened, and closes others while there are too many.</summary>
    internal void Opened(CachedFile file)
    {
        lock (_lock)
        {
            Evict(capacity - 1);
            _open.Add(file);
        }
    }

    /// <summary>Removes a file that was closed for another reason than lack of room.</summary>
    internal void Closed(CachedFile file)
    {
        lock (_lock)
        {
            var index = _open.IndexOf(file);
            if (index >= 0)
                RemoveAt(index);
        }
    }

    // Half of those that are open.
    private bool TryCloseSome()
    {
        lock (_lock)
        {
            var before = _open.Count;
            Evict(before / 2);
            return _open.Count < before;
        }
    }

    // Closes files that are not in use, until at most so many are open. Under the lock.
    private void Evict(int atMost)
    {
        // Two rounds: the first clears the marks of use, the second finds handles that were not used again.
        for (var steps = 2 * _open.Count; _open.Count > atMost && steps > 0; steps--)
        {
            if (_hand >= _open.Count)
                _hand = 0;
            if (_open[_hand].TryEvict())
                RemoveAt(_hand);
            else
                _hand++;
        }
    }

    private void RemoveAt(int index)
    {
        _open[index] = _open[^1];
        _open.RemoveAt(_open.Count - 1);
    }
}

/// <summary>
/// One file of a partition, open or closed: a segment's, or (with <paramref name="baseOffset"/> below 0) one whose full name is
/// <paramref name="suffix"/>. <see cref="Rent"/> opens it if needed; the handle stays open at least until the lease is disposed.
/// </summary>
/// <remarks>
/// <c>_leases</c> is the number of leases, or <see cref="NotOpen"/>. It changes from there to 1, and from 0 back, only under the monitor.
/// In between it is counted without a lock, so that renting an open file costs one interlocked operation.
/// </remarks>
internal sealed class CachedFile(FileHandleCache cache, string directory, long baseOffset, string suffix)
{
    private const int NotOpen = -1;

    private IFile? _file;
    private int _leases = NotOpen;
    private bool _used;
    private bool _doomed;
    private string _suffix = suffix;

    /// <summary>The current path (files are renamed before they are deleted).</summary>
    public string Path => PathWith(Volatile.Read(ref _suffix));

    /// <summary>Opens the file, or uses the open handle.</summary>
    /// <exception cref="FileNotFoundException">The file does not exist, perhaps because it was removed.</exception>
    public FileLease Rent()
    {
        while (true)
        {
            var leases = Volatile.Read(ref _leases);
            if (leases < 0)
                return OpenAndRent();
            if (Interlocked.CompareExchange(ref _leases, leases + 1, leases) == leases)
            {
                _used = true;
                return new FileLease(this, _file!);
            }
        }
    }

    /// <summary>Returns the file's length without opening it.</summary>
    public long GetLength() => cache.Files.GetLength(Path);

    /// <summary>Whether the file exists.</summary>
    public bool Exists() => cache.Files.FileExists(Path);

    /// <summary>Creates the file, or empties it.</summary>
    public void CreateEmpty()
    {
        lock (this)
        {
            Invariant.Check(Volatile.Read(ref _leases) == NotOpen, "A segment's file was created while it was open.");
            Adopt(cache.Open(Path, FileOpening.CreateOrTruncate), leases: 0);
        }
        cache.Opened(this);
    }

    /// <summary>Renames the file; leases stay readable.</summary>
    public void Rename(string newSuffix)
    {
        lock (this)
        {
            cache.Files.MoveFile(Path, PathWith(newSuffix));
            Volatile.Write(ref _suffix, newSuffix);
        }
    }

    /// <summary>Deletes the file; leases stay readable.</summary>
    public void Delete()
    {
        lock (this)
        {
            cache.Files.DeleteFile(Path);
            _doomed = true;
        }
        Close();
    }

    /// <summary>Closes the handle once it is not leased: another file has taken the name, or the log is closed.</summary>
    public void CloseWhenIdle()
    {
        lock (this)
            _doomed = Volatile.Read(ref _leases) != NotOpen;
        Close();
    }

    /// <summary>Closes the handle unless it is leased.</summary>
    public void Close()
    {
        bool closed;
        lock (this)
            closed = TryCloseLocked();
        if (closed)
            cache.Closed(this);
    }

    /// <summary>Closes the handle if it was not used since the last call, is not leased, and is not being opened; true when it is closed.
    /// Called under the cache's lock.</summary>
    internal bool TryEvict()
    {
        if (_used)
        {
            _used = false;
            return false;
        }
        if (!Monitor.TryEnter(this))
            return false;
        try
        {
            return Volatile.Read(ref _leases) == NotOpen || TryCloseLocked();
        }
        finally
        {
            Monitor.Exit(this);
        }
    }

    internal void Release()
    {
        if (Interlocked.Decrement(ref _leases) == 0 && Volatile.Read(ref _doomed))
            Close();
    }

    private string PathWith(string suffix) =>
        System.IO.Path.Combine(directory, baseOffset < 0 ? suffix : LogFiles.Name(baseOffset, suffix));

    private FileLease OpenAndRent()
    {
        IFile opened;
        lock (this)
        {
            if (Volatile.Read(ref _leases) >= 0)
            {
                Interlocked.Increment(ref _leases);
                return new FileLease(this, _file!);
            }
            opened = cache.Open(Path, FileOpening.ReadWrite);
            Adopt(opened, leases: 1);
        }
        cache.Opened(this);
        return new FileLease(this, opened);
    }

    private void Adopt(IFile file, int leases)
    {
        _file = file;
        _used = true;
        _doomed = false;
        Volatile.Write(ref _leases, leases);
    }

    private bool TryCloseLocked()
    {
        if (Interlocked.CompareExchange(ref _leases, NotOpen, 0) != 0)
            return false;
        _file!.Dispose();
        _file = null;
        return true;
    }
}

/// <summary>A lease of an open file. Dispose it once.</summary>
internal readonly struct FileLease(CachedFile owner, IFile file) : IDisposable
{
    /// <summary>The open file.</summary>
    public IFile File { get; } = file;

    /// <summary>Allows the cache to close the file.</summary>
    public void Dispose() => owner.Release();
}
