using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;
using OrleansMq.Client;

namespace OrleansMq.Outboxes;

/// <summary>What the outboxes of a silo share.</summary>
internal sealed class OutboxServices(OrleansMqClient client, OrleansMqOutboxOptions options, OutboxWakeUps wakeUps,
    ILogger<OutboxServices> logger)
{
    // A write of a grain does not wait longer for the number of partitions; it is looked up later then.
    private static readonly TimeSpan LookUpTimeout = TimeSpan.FromSeconds(1);

    public OrleansMqClient Client => client;

    public OrleansMqOutboxOptions Options => options;

    public OutboxWakeUps WakeUps => wakeUps;

    public LeftRecords Left { get; } = new();

    public ILogger Logger => logger;

    /// <summary>Returns the number of partitions of a topic; null: it is not known now.</summary>
    public async Task<int?> FindPartitionsAsync(string topic)
    {
        try
        {
            return (await client.Broker.GetTopicAsync(topic).AsTask().WaitAsync(LookUpTimeout)).Partitions;
        }
        catch (Exception failure) when (failure is OrleansMqException or TimeoutException)
        {
            return null;
        }
    }

    /// <summary>Returns the numbers of partitions of topics, without those that are not known now.</summary>
    public async Task<IReadOnlyDictionary<string, int>> FindPartitionsAsync(IEnumerable<string> topics)
    {
        var found = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (var (topic, partitions) in await Task.WhenAll(topics.Distinct().Select(async topic =>
            (topic, await FindPartitionsAsync(topic)))))
        {
            if (partitions is { } count)
                found[topic] = count;
        }
        return found;
    }
}

/// <summary>The metrics of outboxes, in the client's meter.</summary>
internal static class OutboxMetrics
{
    public static Counter<long> Parked { get; } = OrleansMqDiagnostics.Meter.CreateCounter<long>("orleansmq.outbox.parked.messages",
        "{message}", "Messages of outboxes that their topic refused for good.");

    public static Counter<long> Retries { get; } = OrleansMqDiagnostics.Meter.CreateCounter<long>("orleansmq.outbox.retries", "{attempt}",
        "Attempts of outboxes to send messages that failed, and are repeated.");
}
