namespace OrleansMq.Storage;

/// <summary>
/// A directory in memory: the entries that processes see, those on stable storage, and the changes in between, in order. Guarded by its
/// file system's lock. An entry is a <see cref="MemoryInode"/> or a <see cref="MemoryDirectory"/>.
/// </summary>
internal sealed class MemoryDirectory(bool tracksPowerCuts)
{
    private readonly List<EntryChange> _unflushed = [];
    private readonly Dictionary<string, object> _stable = new(StringComparer.Ordinal);

    /// <summary>The entries that processes see.</summary>
    public Dictionary<string, object> Entries { get; private set; } = new(StringComparer.Ordinal);

    /// <summary>Counts the entry changes that a power cut may lose, here and below.</summary>
    public int CountUnflushed() => _unflushed.Count + Entries.Values.OfType<MemoryDirectory>().Sum(directory => directory.CountUnflushed());

    /// <summary>Returns the total bytes of all files, here and below.</summary>
    public long SizeInBytes() =>
        Entries.Values.Sum(node => node is MemoryDirectory directory ? directory.SizeInBytes() : ((MemoryInode)node).Length);

    /// <summary>Adds or replaces an entry.</summary>
    public void Put(string name, object node)
    {
        Entries[name] = node;
        Record(new EntryChange(null, name, node));
    }

    /// <summary>Removes an entry. A directory's own entries are removed first, so that a power cut may leave some of them.</summary>
    public void Remove(string name)
    {
        Entries.Remove(name, out var node);
        if (node is MemoryDirectory directory)
        {
            foreach (var child in directory.Entries.Keys.Order(StringComparer.Ordinal).ToArray())
                directory.Remove(child);
        }
        Record(new EntryChange(name, null, node!));
    }

    /// <summary>Renames an entry and replaces an existing one. A power cut keeps or loses the change as a whole.</summary>
    public void Move(string from, MemoryDirectory target, string to)
    {
        Entries.Remove(from, out var node);
        target.Entries[to] = node!;
        if (ReferenceEquals(target, this))
        {
            Record(new EntryChange(from, to, node!));
            return;
        }
        var move = new MoveBetween(this, target);
        Record(new EntryChange(from, null, node!, move));
        target.Record(new EntryChange(null, to, node!, move));
    }

    /// <summary>Makes the entries durable.</summary>
    public void Flush()
    {
        EntryChange[] changes = [.. _unflushed];
        _unflushed.Clear();
        foreach (var change in changes)
            change.ApplyTo(_stable);
        // A move between two directories is durable in both or in neither.
        foreach (var change in changes)
        {
            change.Move?.From.Flush();
            change.Move?.To.Flush();
        }
    }

    /// <summary>Applies a power cut: each entry change since the last flush is independently kept or lost.</summary>
    public void PowerCut(Random random)
    {
        foreach (var change in _unflushed)
        {
            var kept = change.Move is { } move ? move.Kept ??= random.Next(2) == 0 : random.Next(2) == 0;
            if (kept)
                change.ApplyTo(_stable);
        }
        _unflushed.Clear();
        Entries = new Dictionary<string, object>(_stable, StringComparer.Ordinal);
        // Ordered by name instead of by hash, so that the same seed gives the same result.
        foreach (var (_, node) in Entries.OrderBy(entry => entry.Key, StringComparer.Ordinal))
        {
            if (node is MemoryDirectory directory)
                directory.PowerCut(random);
            else
                ((MemoryInode)node).PowerCut(random);
        }
    }

    private void Record(EntryChange change)
    {
        if (tracksPowerCuts)
            _unflushed.Add(change);
    }

    /// <summary>A move between two directories, and, once a power cut has decided, whether it is kept.</summary>
    private sealed class MoveBetween(MemoryDirectory from, MemoryDirectory to)
    {
        public MemoryDirectory From { get; } = from;
        public MemoryDirectory To { get; } = to;
        public bool? Kept { get; set; }
    }

    /// <summary>One entry removed (<paramref name="Removed"/>), added (<paramref name="Added"/>), or both.</summary>
    private readonly record struct EntryChange(string? Removed, string? Added, object Node, MoveBetween? Move = null)
    {
        public void ApplyTo(Dictionary<string, object> entries)
        {
            // Removes only the entry that this change saw. Another file of the same name, which stays without this change, is left.
            if (Removed is not null && entries.TryGetValue(Removed, out var present) && ReferenceEquals(present, Node))
                entries.Remove(Removed);
            if (Added is not null)
                entries[Added] = Node;
        }
    }
}
