namespace OrleansMq.Storage;

/// <summary>
/// A disk in memory, as one process sees it, that simulates crashes. <see cref="ProcessKill"/> keeps the page cache; <see cref="PowerCut"/>
/// keeps what was flushed and randomly keeps or loses the rest. Both return the file system for the next process. This one then refuses
/// every call, so that threads of the killed process cannot write any more. The same seed and calls produce the same bytes.
/// </summary>
internal sealed partial class MemoryFileSystem : IFileSystem
{
    private readonly Lock _lock;
    private readonly MemoryDirectory _root;
    private readonly Dictionary<string, FileTraffic> _traffic = new(StringComparer.Ordinal);
    private readonly HashSet<string> _locked = new(StringComparer.Ordinal);
    private readonly bool _tracksPowerCuts;
    private volatile bool _killed;

    /// <summary>Creates an empty disk.</summary>
    /// <param name="tracksPowerCuts">False saves the memory that <see cref="PowerCut"/> needs: about twice that of the files.</param>
    public MemoryFileSystem(bool tracksPowerCuts = true)
        : this(new MemoryDirectory(tracksPowerCuts), new Lock(), tracksPowerCuts, long.MaxValue)
    {
    }

    private MemoryFileSystem(MemoryDirectory root, Lock @lock, bool tracksPowerCuts, long capacity)
    {
        _root = root;
        _lock = @lock;
        _tracksPowerCuts = tracksPowerCuts;
        Capacity = capacity;
    }

    /// <summary>The maximum total bytes of all files. A write beyond it is partial and throws <see cref="DiskFullException"/>.</summary>
    public long Capacity { get; set; }

    /// <summary>Whether reads and writes stay in the reported page cache. False simulates a machine that needed the memory for something
    /// else.</summary>
    public bool HoldsPages { get; set; } = true;

    /// <summary>Bytes read and written, by path as opened, since the process started or <see cref="ResetTraffic"/>.</summary>
    public IReadOnlyDictionary<string, FileTraffic> Traffic
    {
        get
        {
            lock (_lock)
                return new Dictionary<string, FileTraffic>(_traffic, StringComparer.Ordinal);
        }
    }

    /// <summary>The number of directory entry changes that a power cut may lose. For tests of durability.</summary>
    public int UnflushedEntries
    {
        get
        {
            lock (_lock)
                return _root.CountUnflushed();
        }
    }

    /// <summary>Returns the number of writes to a file that a power cut may lose. For tests of durability.</summary>
    /// <exception cref="FileNotFoundException">It does not exist.</exception>
    public int UnflushedWrites(string path)
    {
        lock (_lock)
            return FindFile(path).UnflushedWrites;
    }

    /// <summary>Resets <see cref="Traffic"/>.</summary>
    public void ResetTraffic()
    {
        lock (_lock)
            _traffic.Clear();
    }

    /// <summary>Simulates SIGKILL: handles and locks are gone, all writes are kept, flushed or not.</summary>
    /// <returns>The disk as the next process finds it.</returns>
    public MemoryFileSystem ProcessKill()
    {
        lock (_lock)
        {
            _killed = true;
            return new MemoryFileSystem(_root, _lock, _tracksPowerCuts, Capacity);
        }
    }

    /// <summary>
    /// Simulates a power cut. Each write since its file's last <see cref="IFile.Flush"/> is kept, lost, torn, or leaves zeros. Each entry
    /// created, renamed or deleted since its directory's last <see cref="FlushDirectory"/> is kept or lost.
    /// </summary>
    /// <returns>The disk as the next process finds it.</returns>
    public MemoryFileSystem PowerCut(Random random)
    {
        if (!_tracksPowerCuts)
            throw new InvalidOperationException("This file system was made without tracking power cuts.");
        lock (_lock)
        {
            _killed = true;
            _root.PowerCut(random);
            return new MemoryFileSystem(_root, _lock, _tracksPowerCuts, Capacity);
        }
    }

    /// <inheritdoc/>
    public IFile Open(string path, FileOpening mode)
    {
        lock (_lock)
        {
            ThrowIfKilled();
            var inode = TryFind(path, out var node) ? AsFile(node, path) : Create(path, mode);
            if (mode == FileOpening.CreateOrTruncate && inode.Length > 0)
                inode.SetLength(0);
            return new MemoryFile(this, path, inode, canWrite: mode != FileOpening.Read);
        }
    }

    private MemoryInode Create(string path, FileOpening mode)
    {
        if (mode is FileOpening.Read or FileOpening.ReadWrite)
            throw new FileNotFoundException($"There is no file '{path}'.", path);
        var (parent, name) = FindParent(path);
        var inode = new MemoryInode(_tracksPowerCuts);
        parent.Put(name, inode);
        return inode;
    }

    /// <inheritdoc/>
    public bool FileExists(string path)
    {
        lock (_lock)
        {
            ThrowIfKilled();
            return TryFind(path, out var node) && node is MemoryInode;
        }
    }

    /// <inheritdoc/>
    public bool DirectoryExists(string path)
    {
        lock (_lock)
        {
            ThrowIfKilled();
            return TryFind(path, out var node) && node is MemoryDirectory;
        }
    }

    /// <inheritdoc/>
    public long GetLength(string path)
    {
        lock (_lock)
        {
            ThrowIfKilled();
            return FindFile(path).Length;
        }
    }

    /// <inheritdoc/>
    public void CreateDirectory(string path)
    {
        lock (_lock)
        {
            ThrowIfKilled();
            var directory = _root;
            foreach (var name in Split(path))
            {
                if (!directory.Entries.TryGetValue(name, out var node))
                    directory.Put(name, node = new MemoryDirectory(_tracksPowerCuts));
                directory = node as MemoryDirectory ?? throw new IOException($"'{path}' cannot be a directory: '{name}' in it is a file.");
            }
        }
    }

    /// <inheritdoc/>
    public IReadOnlyList<string> ListFiles(string directory) => List<MemoryInode>(directory);

    /// <inheritdoc/>
    public IReadOnlyList<string> ListDirectories(string directory) => List<MemoryDirectory>(directory);

    private string[] List<TNode>(string path)
    {
        lock (_lock)
        {
            ThrowIfKilled();
            return [.. FindDirectory(path).Entries.Where(entry => entry.Value is TNode).Select(entry => entry.Key)
                .Order(StringComparer.Ordinal)];
        }
    }

    /// <inheritdoc/>
    public void MoveFile(string from, string to)
    {
        lock (_lock)
        {
            ThrowIfKilled();
            FindFile(from);
            var (source, sourceName) = FindParent(from);
            var (target, targetName) = FindParent(to);
            if (target.Entries.GetValueOrDefault(targetName) is MemoryDirectory)
                throw new IOException($"Cannot rename '{from}' to '{to}': that is a directory.");
            if (!ReferenceEquals(source, target) || sourceName != targetName)
                source.Move(sourceName, target, targetName);
        }
    }

    /// <inheritdoc/>
    public void MoveDirectory(string from, string to)
    {
        lock (_lock)
        {
            ThrowIfKilled();
            FindDirectory(from);
            var (source, sourceName) = FindParent(from);
            var (target, targetName) = FindParent(to);
            if (target.Entries.ContainsKey(targetName))
                throw new IOException($"Cannot rename '{from}' to '{to}': that exists.");
            source.Move(sourceName, target, targetName);
        }
    }

    /// <inheritdoc/>
    public void DeleteFile(string path)
    {
        lock (_lock)
        {
            ThrowIfKilled();
            if (!TryFind(path, out var node))
                return;
            AsFile(node, path);
            var (parent, name) = FindParent(path);
            parent.Remove(name);
        }
    }

    /// <inheritdoc/>
    public void DeleteDirectory(string path)
    {
        lock (_lock)
        {
            ThrowIfKilled();
            if (!TryFind(path, out var node))
                return;
            if (node is not MemoryDirectory)
                throw new IOException($"'{path}' is a file, not a directory.");
            var (parent, name) = FindParent(path);
            parent.Remove(name);
        }
    }

    /// <inheritdoc/>
    public void FlushDirectory(string path)
    {
        lock (_lock)
        {
            ThrowIfKilled();
            FindDirectory(path).Flush();
        }
    }

    /// <inheritdoc/>
    public long GetFreeSpace(string path)
    {
        lock (_lock)
        {
            ThrowIfKilled();
            return Capacity == long.MaxValue ? Capacity : Math.Max(0, Capacity - _root.SizeInBytes());
        }
    }

    /// <inheritdoc/>
    public IDisposable? TryLock(string path)
    {
        Open(path, FileOpening.OpenOrCreate).Dispose();
        var full = Path.GetFullPath(path);
        lock (_lock)
            return _locked.Add(full) ? new HeldLock(this, full) : null;
    }

    /// <summary>Returns how many of <paramref name="wanted"/> bytes at <paramref name="position"/> fit into the capacity.</summary>
    internal int RoomFor(MemoryInode inode, long position, int wanted)
    {
        if (Capacity == long.MaxValue)
            return wanted;
        lock (_lock)
        {
            var length = inode.Length;
            var end = length + Math.Max(0, Capacity - _root.SizeInBytes());
            return position + wanted <= length ? wanted : (int)Math.Clamp(end - position, 0, wanted);
        }
    }

    internal void Count(string path, long read, long written, int flushes)
    {
        lock (_lock)
        {
            var sum = _traffic.GetValueOrDefault(path);
            _traffic[path] = new FileTraffic(sum.BytesRead + read, sum.BytesWritten + written, sum.Flushes + flushes);
        }
    }

    internal Lock.Scope EnterAlive()
    {
        var scope = _lock.EnterScope();
        if (!_killed)
            return scope;
        scope.Dispose();
        ThrowIfKilled();
        return default;
    }

    private void ThrowIfKilled()
    {
        if (_killed)
            throw new IOException("The process that used this file system was killed.");
    }

    private sealed class HeldLock(MemoryFileSystem owner, string path) : IDisposable
    {
        public void Dispose()
        {
            lock (owner._lock)
                owner._locked.Remove(path);
        }
    }
}
