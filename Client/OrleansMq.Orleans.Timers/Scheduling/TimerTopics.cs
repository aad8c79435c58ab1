using OrleansMq.Client;
using OrleansMq.Consumers;

namespace OrleansMq.Timers;

/// <summary>The timers' topic, with the settings that it needs. Thread-safe.</summary>
/// <param name="client">The broker.</param>
/// <param name="options">The options.</param>
internal sealed class TimerTopics(OrleansMqClient client, OrleansMqTimerOptions options) : CursorTopics(client, options.Delivery)
{
    // A message that is due stays until it is settled, and is as durable as the schedule was.
    private static readonly Dictionary<string, string> s_configs = new() { ["retention.until.settled"] = "true", [Flush] = "1" };
    private static readonly Dictionary<string, string> s_letterConfigs = new() { [Flush] = "1" };

    private const string Flush = "flush.messages";

    /// <summary>Completes when the topic exists with its settings, or with others where this client may not alter them: a silo warns
    /// then.</summary>
    /// <exception cref="BrokerException">It cannot be created, or not be looked up now.</exception>
    public async Task CreateAsync()
    {
        await EnsureTopicAsync(Client, options.Topic, options.Partitions, s_configs).ConfigureAwait(false);
        try
        {
            await KeepSettingsAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (BrokerException refused) when (TopicSettings.IsRefusal(refused))
        {
            // Every silo with timers tries it, too, and warns.
        }
    }

    /// <summary>Alters the topic where it lacks a setting: it was created by other means.</summary>
    /// <exception cref="BrokerException">It does not exist, must not be altered (<see cref="TopicSettings.IsRefusal"/>), or cannot be
    /// now.</exception>
    public async Task KeepSettingsAsync(CancellationToken cancellationToken)
    {
        try
        {
            // Before the topic: a queue refuses a dead-letter topic that is less durable than its own.
            await TopicSettings.KeepAsync(Client.Broker, options.Topic + DeadLetterSuffix, s_letterConfigs, cancellationToken)
                .ConfigureAwait(false);
        }
        catch (BrokerException none) when (none.Code == ErrorCode.UnknownTopicOrPartition)
        {
            // It is created with the topic's settings.
        }
        await TopicSettings.KeepAsync(Client.Broker, options.Topic, s_configs, cancellationToken).ConfigureAwait(false);
    }
}
