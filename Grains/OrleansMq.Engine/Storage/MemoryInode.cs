namespace OrleansMq.Storage;

/// <summary>
/// The content of a file in memory, as on a disk behind a page cache: what processes see, what is on stable storage, and the changes in
/// between, in order. Guarded by its file system's lock.
/// </summary>
internal sealed class MemoryInode(bool tracksPowerCuts)
{
    // The unit that a disk writes atomically.
    private const int SectorSize = 512;

    private readonly List<Change> _unflushed = [];
    private PagedBytes _cached = new();
    private PagedBytes _stable = new();

    public long Length => _cached.Length;

    public int UnflushedWrites => _unflushed.Count;

    public int Read(Span<byte> buffer, long position) => _cached.Read(buffer, position);

    public void Write(ReadOnlySpan<byte> bytes, long position)
    {
        _cached.Write(bytes, position);
        if (tracksPowerCuts)
            _unflushed.Add(new Change(position, bytes.ToArray()));
    }

    public void SetLength(long length)
    {
        _cached.SetLength(length);
        if (tracksPowerCuts)
            _unflushed.Add(new Change(length, null));
    }

    public void Flush()
    {
        foreach (var change in _unflushed)
            change.ApplyTo(_stable);
        _unflushed.Clear();
    }

    /// <summary>Applies a power cut: each change since the last flush is independently kept, lost or torn.</summary>
    public void PowerCut(Random random)
    {
        foreach (var change in _unflushed)
            Keep(change, random);
        _unflushed.Clear();
        _cached = _stable;
        _stable = _cached.Clone();
    }

    private void Keep(Change change, Random random)
    {
        if (change.Bytes is not { } bytes)
        {
            if (random.Next(2) == 0)
                change.ApplyTo(_stable);
            return;
        }
        switch (random.Next(6))
        {
            case 0 or 1:
                change.ApplyTo(_stable);
                break;
            case 2:
                break;
            case 3: // The file grew, but its content was not written: zeros.
                if (_stable.Length < change.Position + bytes.Length)
                    _stable.SetLength(change.Position + bytes.Length);
                break;
            case 4: // The write stopped at an arbitrary byte: not all caches respect sectors.
                _stable.Write(bytes.AsSpan(0, random.Next(bytes.Length + 1)), change.Position);
                break;
            default:
                KeepSomeSectors(change.Position, bytes, random);
                break;
        }
    }

    // The page cache writes back in any order: of a large write, any sectors may be present and any others missing.
    private void KeepSomeSectors(long position, ReadOnlySpan<byte> bytes, Random random)
    {
        while (!bytes.IsEmpty)
        {
            var sector = bytes[..(int)Math.Min(bytes.Length, SectorSize - position % SectorSize)];
            if (random.Next(2) == 0)
                _stable.Write(sector, position);
            position += sector.Length;
            bytes = bytes[sector.Length..];
        }
    }

    /// <summary>A write at a position, or, without bytes, a new length.</summary>
    private readonly record struct Change(long Position, byte[]? Bytes)
    {
        public void ApplyTo(PagedBytes content)
        {
            if (Bytes is null)
                content.SetLength(Position);
            else
                content.Write(Bytes, Position);
        }
    }
}
