using OrleansMq.State;

namespace OrleansMq.Tests.Engine.Groups.Coordination;

/// <summary>A store with writes that a test delays, fails and counts.</summary>
internal sealed class FaultyStore(IStateStore store) : IStateStore
{
    private int _writes;
    private int _waiting;

    public int Writes => Volatile.Read(ref _writes);

    /// <summary>The number of waiting writes.</summary>
    public int Waiting => Volatile.Read(ref _waiting);

    /// <summary>Thrown by every write while it is set.</summary>
    public Exception? Failure { get; set; }

    /// <summary>Awaited before every write, for a minute at most: a test that fails before it opens the gate must end.</summary>
    public Task Gate { get; set; } = Task.CompletedTask;

    public ValueTask<StateDocument?> ReadAsync(string key, CancellationToken cancellationToken = default) =>
        store.ReadAsync(key, cancellationToken);

    public async ValueTask<string> WriteAsync(string key, ReadOnlyMemory<byte> value, string? etag,
        CancellationToken cancellationToken = default)
    {
        Interlocked.Increment(ref _waiting);
        await Gate.WaitAsync(TimeSpan.FromMinutes(1), cancellationToken);
        Interlocked.Decrement(ref _waiting);
        if (Failure is { } failure)
            throw failure;
        Interlocked.Increment(ref _writes);
        return await store.WriteAsync(key, value, etag, cancellationToken);
    }

    public ValueTask DeleteAsync(string key, string? etag, CancellationToken cancellationToken = default) =>
        store.DeleteAsync(key, etag, cancellationToken);

    public ValueTask<IReadOnlyList<string>> ListAsync(string type, CancellationToken cancellationToken = default) =>
        store.ListAsync(type, cancellationToken);
}
