using System.Globalization;
using OrleansMq.State;

namespace OrleansMq.Tests.Engine.VirtualHosts;

/// <summary>What a write does.</summary>
internal enum WriteFate
{
    Stored,
    /// <summary>It fails, and is not stored.</summary>
    Fails,
    /// <summary>It fails, and is stored.</summary>
    Unclear,
    /// <summary>It fails, and reaches the store when the test says so.</summary>
    Late,
}

/// <summary>A store in memory, whose writes fail as a test says.</summary>
internal sealed class MemoryStateStore : IStateStore
{
    private readonly Lock _gate = new();
    private readonly Dictionary<string, StateDocument> _documents = new(StringComparer.Ordinal);
    private readonly List<Action> _late = [];
    private long _lastVersion;

    /// <summary>Decides on each write and delete, given its key.</summary>
    public Func<string, WriteFate> Fate { get; set; } = _ => WriteFate.Stored;

    /// <summary>Whether reads fail.</summary>
    public bool ReadsFail { get; set; }

    /// <summary>Awaited before every write, given its key.</summary>
    public Func<string, Task> Gate { get; set; } = _ => Task.CompletedTask;

    /// <summary>The keys written or deleted, in order.</summary>
    public List<string> Writes { get; } = [];

    public IReadOnlyList<string> Keys
    {
        get
        {
            lock (_gate)
                return [.. _documents.Keys.Order(StringComparer.Ordinal)];
        }
    }

    /// <summary>A store with what is stored now: what a new process finds.</summary>
    public MemoryStateStore Copy()
    {
        var copy = new MemoryStateStore();
        lock (_gate)
        {
            foreach (var (key, document) in _documents)
                copy._documents.Add(key, document);
            copy._lastVersion = _lastVersion;
        }
        return copy;
    }

    /// <summary>The writes that were late arrive. Those that lose their compare-and-swap change nothing.</summary>
    public int ArriveLate()
    {
        lock (_gate)
        {
            var arrived = 0;
            foreach (var write in _late)
            {
                try
                {
                    write();
                    arrived++;
                }
                catch (StateConflictException)
                {
                    // Fenced.
                }
            }
            _late.Clear();
            return arrived;
        }
    }

    public ValueTask<StateDocument?> ReadAsync(string key, CancellationToken cancellationToken = default)
    {
        if (ReadsFail)
            throw new IOException("The store does not answer.");
        lock (_gate)
            return new(_documents.GetValueOrDefault(key));
    }

    public async ValueTask<string> WriteAsync(string key, ReadOnlyMemory<byte> value, string? etag,
        CancellationToken cancellationToken = default)
    {
        await Gate(key);
        return Carry(key, () =>
        {
            Compare(key, etag);
            var written = new StateDocument(value.ToArray(), (++_lastVersion).ToString(CultureInfo.InvariantCulture));
            _documents[key] = written;
            return written.ETag;
        });
    }

    public async ValueTask DeleteAsync(string key, string? etag, CancellationToken cancellationToken = default)
    {
        await Gate(key);
        Carry(key, () =>
        {
            if (_documents.ContainsKey(key))
            {
                Compare(key, etag);
                _documents.Remove(key);
            }
            return "";
        });
    }

    public ValueTask<IReadOnlyList<string>> ListAsync(string type, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException("As grain storage.");

    private string Carry(string key, Func<string> write)
    {
        lock (_gate)
        {
            Writes.Add(key);
            switch (Fate(key))
            {
                case WriteFate.Stored:
                    return write();
                case WriteFate.Unclear:
                    write();
                    break;
                case WriteFate.Late:
                    _late.Add(() => write());
                    break;
                default:
                    break;
            }
            throw new IOException("The store does not answer.");
        }
    }

    private void Compare(string key, string? etag)
    {
        var stored = _documents.GetValueOrDefault(key)?.ETag;
        if (stored != etag)
            throw new StateConflictException(key, etag, stored);
    }
}
