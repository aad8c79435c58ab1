using System.Collections.Concurrent;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>What is opened once, by its first use.</summary>
internal static class Openings
{
    /// <summary>Returns the opening of a key. It begins where there is none yet, or where the one before has failed: a failure is that of
    /// the uses that waited for it, also where it comes at once.</summary>
    /// <param name="openings">The openings.</param>
    /// <param name="key">The key.</param>
    /// <param name="open">Opens it.</param>
    public static Lazy<Task<T>> GetOrOpen<TKey, T>(this ConcurrentDictionary<TKey, Lazy<Task<T>>> openings, TKey key, Func<Task<T>> open)
        where TKey : notnull
    {
        if (openings.TryGetValue(key, out var known))
        {
            if (!known.Value.IsFaulted)
                return known;
            openings.TryRemove(KeyValuePair.Create(key, known));
        }
        return openings.GetOrAdd(key, static (_, open) => new Lazy<Task<T>>(open), open);
    }
}
