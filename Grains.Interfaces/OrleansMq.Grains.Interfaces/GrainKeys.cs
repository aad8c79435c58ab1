using System.Globalization;

namespace OrleansMq.Grains;

/// <summary>The keys of the grains.</summary>
internal static class GrainKeys
{
    /// <summary>The key of the only <see cref="IClusterGrain"/>.</summary>
    public const string Cluster = "cluster";

    /// <summary>
    /// Makes the key of a partition's grain: the topic's id as 32 hexadecimal digits, a slash, the partition's number. It uses the id
    /// rather than the name, so that a call meant for a deleted topic never reaches a new one of the same name.
    /// </summary>
    /// <param name="topicId">The topic's id.</param>
    /// <param name="partition">The partition's number, from 0.</param>
    public static string Partition(Guid topicId, int partition) =>
        string.Create(CultureInfo.InvariantCulture, $"{topicId:N}/{partition}");

    /// <summary>Parses a key that <see cref="Partition"/> made.</summary>
    /// <param name="key">The key.</param>
    /// <param name="topicId">The topic's id.</param>
    /// <param name="partition">The partition's number.</param>
    /// <returns>False unless <paramref name="key"/> is exactly what <see cref="Partition"/> makes.</returns>
    public static bool TryParsePartition(string key, out Guid topicId, out int partition)
    {
        topicId = default;
        partition = -1;
        var slash = key.IndexOf('/', StringComparison.Ordinal);
        return slash > 0
            && Guid.TryParseExact(key.AsSpan(0, slash), "N", out topicId)
            && int.TryParse(key.AsSpan(slash + 1), NumberStyles.None, CultureInfo.InvariantCulture, out partition)
            && Partition(topicId, partition) == key;
    }
}
