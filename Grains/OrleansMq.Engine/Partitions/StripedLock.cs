namespace OrleansMq.Partitions;

/// <summary>A lock for each key, over a fixed number of locks: enough that different keys rarely share one.</summary>
internal sealed class StripedLock<TKey> where TKey : notnull
{
    private const int Stripes = 256;

    private readonly Lock[] _locks = [.. Enumerable.Range(0, Stripes).Select(_ => new Lock())];

    /// <summary>Returns the lock of a key.</summary>
    public Lock Of(TKey key) => _locks[(uint)key.GetHashCode() % Stripes];

    /// <summary>Returns when every holder of a lock from before has released it. Later holders see what the caller wrote before.</summary>
    public void PassAll()
    {
        foreach (var one in _locks)
        {
            lock (one)
            {
                // Passed.
            }
        }
    }
}
