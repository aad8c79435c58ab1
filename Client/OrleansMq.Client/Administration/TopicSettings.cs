using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>Settings that a topic needs, also where it was created by other means.</summary>
internal static class TopicSettings
{
    /// <summary>Alters a topic where it lacks settings.</summary>
    /// <returns>The topic as it was before.</returns>
    /// <exception cref="BrokerException">It does not exist, must not be altered, or cannot be now.</exception>
    public static async Task<TopicDescription> KeepAsync(IBroker broker, string topic, IReadOnlyDictionary<string, string> wanted,
        CancellationToken cancellationToken = default)
    {
        var existing = await broker.DescribeTopicAsync(topic, cancellationToken).ConfigureAwait(false);
        var lacking = wanted.Where(one => !existing.Configs.Any(config => config.Name == one.Key && config.Value == one.Value))
            .ToDictionary(static one => one.Key, static one => (string?)one.Value);
        if (lacking.Count > 0)
            await broker.AlterTopicAsync(topic, lacking, cancellationToken).ConfigureAwait(false);
        return existing;
    }

    /// <summary>Whether a failure of <see cref="KeepAsync"/> is one that lasts: an administrator has to alter the topic.</summary>
    public static bool IsRefusal(BrokerException failure) =>
        failure.Action != ErrorAction.Retry && failure.Code != ErrorCode.UnknownTopicOrPartition;
}
