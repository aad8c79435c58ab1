using System.Buffers.Binary;

namespace OrleansMq.Topics;

/// <summary>The ids of topics: UUIDs of version 7, which begin with the time.</summary>
internal static class TopicIds
{
    private const int TimeOrdered = 7;
    private const int Bytes = 16;

    /// <summary>Whether one topic was created after another, as far as their ids tell.</summary>
    public static bool IsNewer(Guid one, Guid other) =>
        one.Version == TimeOrdered && other.Version == TimeOrdered && one.CompareTo(other) > 0;

    /// <summary>Returns an id that is newer than others.</summary>
    /// <param name="id">The id to take where it is.</param>
    /// <param name="others">The others.</param>
    public static Guid Above(Guid id, IEnumerable<Guid> others)
    {
        var newest = others.Where(static one => one.Version == TimeOrdered).DefaultIfEmpty().Max();
        if (newest.Version != TimeOrdered || IsNewer(id, newest))
            return id;
        Span<byte> bytes = stackalloc byte[Bytes];
        newest.TryWriteBytes(bytes, bigEndian: true, out _);
        var time = BinaryPrimitives.ReadInt64BigEndian(bytes) >>> 16;
        return Guid.CreateVersion7(DateTimeOffset.FromUnixTimeMilliseconds(time + 1));
    }
}
