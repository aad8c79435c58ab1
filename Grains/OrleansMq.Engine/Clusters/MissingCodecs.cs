namespace OrleansMq.Clusters;

/// <summary>Topics that exist, and whose records a broker cannot store since it lacks their codec.</summary>
internal static class MissingCodecs
{
    private const int MaxNames = 20;

    /// <summary>Describes the topics of which a broker could lead no partition.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="topics">The names of all topics, with the codec of their <c>compression.type</c>; null for <c>producer</c>.</param>
    /// <returns>A warning; null if there are no such topics.</returns>
    public static string? Describe(BrokerRegistration broker, IEnumerable<(string Name, CompressionType? Codec)> topics)
    {
        if (Enum.GetValues<CompressionType>().All(broker.Has))
            return null;
        var lacking = topics.Where(topic => topic.Codec is { } codec && !broker.Has(codec))
            .OrderBy(static topic => topic.Name, StringComparer.Ordinal).ToList();
        if (lacking.Count == 0)
            return null;
        var codecs = lacking.Select(static topic => topic.Codec).Distinct().Order();
        var names = lacking.Take(MaxNames).Select(static topic => $"'{topic.Name}'");
        var more = lacking.Count > MaxNames ? $" and {lacking.Count - MaxNames} more" : "";
        return $"Broker {broker.BrokerId} has no codec for {string.Join(", ", codecs)}, but 'compression.type' asks for it in "
            + $"topic{(lacking.Count == 1 ? "" : "s")} {string.Join(", ", names)}{more}: every produce fails where this broker leads. "
            + "Its log says at its start what to install.";
    }
}
