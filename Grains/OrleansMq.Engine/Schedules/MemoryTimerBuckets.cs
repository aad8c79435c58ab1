using System.Runtime.InteropServices;

namespace OrleansMq.Schedules;

/// <summary>Buckets in memory, for a broker without a disk and for tests.</summary>
internal sealed class MemoryTimerBuckets : ITimerBuckets
{
    private readonly Dictionary<long, List<TimerNote>> _buckets = [];

    /// <summary>The number of notes in all buckets.</summary>
    public long Count => _buckets.Values.Sum(bucket => (long)bucket.Count);

    public void Append(long bucket, in TimerNote note) =>
        (CollectionsMarshal.GetValueRefOrAddDefault(_buckets, bucket, out _) ??= []).Add(note);

    public IEnumerable<TimerNote> Read(long bucket) => _buckets.GetValueOrDefault(bucket, []);

    public void Truncate(long bucket, long notes)
    {
        if (_buckets.TryGetValue(bucket, out var list))
            list.RemoveRange((int)notes, list.Count - (int)notes);
    }

    public void Delete(long bucket) => _buckets.Remove(bucket);

    public void Flush()
    {
    }
}
