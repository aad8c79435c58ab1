namespace OrleansMq.Gateways.Kafka.Partitions;

/// <summary>The partitions that a request names more than once. Each of their entries is refused: a request could otherwise ask for tens of
/// thousands of costly answers about one partition.</summary>
internal static class RepeatedPartitions
{
    /// <summary>Returns them.</summary>
    public static HashSet<(string Topic, int Index)> Of(IEnumerable<(string Topic, int Index)> named)
    {
        var repeated = new HashSet<(string, int)>();
        var seen = new HashSet<(string, int)>();
        foreach (var partition in named)
        {
            if (!seen.Add(partition))
                repeated.Add(partition);
        }
        return repeated;
    }
}
