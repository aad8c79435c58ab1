using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Topics;

namespace OrleansMq.Outboxes;

/// <summary>
/// The topic of wake-ups: a record for each outbox whose messages may not be delivered, stored before the grain's write. Its value is the
/// grain (<see cref="GrainText"/>), its key a random id and the name of the state. Thread-safe. See <see cref="WakeUpRecords"/> for when a
/// record is settled.
/// <para>What each failure does. The record is stored and the grain's write fails: the wake-up finds nothing, and is settled. The record
/// cannot be stored: the grain's write fails before anything is written. The silo is lost after the write: the wake-up activates the grain,
/// which sends what its state has. The state cannot be read then: the wake-up comes again.</para>
/// <para>A record that is not settled for <see cref="OrleansMqOutboxOptions.MaxRecordAge"/> is stored again under its id, at the end of a
/// partition, and is then settled. A dispatcher that dies in between leaves both. They are settled when the grain has no message.</para>
/// </summary>
internal sealed class OutboxWakeUps : IAsyncDisposable
{
    /// <summary>The topic.</summary>
    public const string Topic = InternalTopics.Outbox;

    /// <summary>Its queue.</summary>
    public const string Queue = "wake-ups";

    private const int Partitions = 8;
    private const int Attempts = 3;
    private const int IdLength = 32;
    private static readonly TimeSpan AttemptTimeout = TimeSpan.FromSeconds(5);

    // A wake-up stays until it is settled, however long that takes, and survives what the grain's state survives.
    private static readonly Dictionary<string, string> Configs = new() { ["retention.until.settled"] = "true", ["flush.messages"] = "1" };

    private readonly Lock _lock = new();
    private readonly Lazy<IProducer<string, string>> _producer;
    private Task<int>? _ensured;

    public OutboxWakeUps(IBroker broker)
    {
        Client = new OrleansMqClient(broker);
        _producer = new(() => Client.CreateProducer<string, string>(new ProducerOptions { DeliveryTimeout = AttemptTimeout }));
    }

    /// <summary>The client that writes and reads the topic. No session may: it is internal.</summary>
    public OrleansMqClient Client { get; }

    /// <summary>Completes when a wake-up of an outbox is stored. Where an attempt has no known outcome, the record may be stored
    /// twice.</summary>
    /// <param name="grain">The grain.</param>
    /// <param name="state">The name of its state.</param>
    /// <param name="record">The record's id.</param>
    /// <exception cref="OrleansMqException">It is not, or the outcome is unknown.</exception>
    public async Task StoreAsync(GrainId grain, string state, Guid record)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                var partitions = await EnsureTopicAsync().ConfigureAwait(false);
                // Any partition will do: another one where this one is not available.
                await _producer.Value.SendAsync(new ProducerRecord<string, string>(Topic, KeyOf(state, record), GrainText.Of(grain))
                {
                    Partition = Random.Shared.Next(partitions),
                }).ConfigureAwait(false);
                return;
            }
            catch (OrleansMqException) when (attempt < Attempts)
            {
                lock (_lock)
                    _ensured = null;
            }
        }
    }

    /// <summary>Returns the key of a record.</summary>
    internal static string KeyOf(string state, Guid record) => $"{record:N}{state}";

    /// <summary>Reads the key of a record.</summary>
    internal static bool TryParseKey(string? key, out string state, out Guid record)
    {
        (state, record) = ("", Guid.Empty);
        if (key is null || key.Length <= IdLength || !Guid.TryParseExact(key[..IdLength], "N", out record))
            return false;
        state = key[IdLength..];
        return true;
    }

    /// <summary>Creates the topic unless it exists, and returns its number of partitions.</summary>
    /// <exception cref="OrleansMqException">It cannot be created, or not be found now.</exception>
    public Task<int> EnsureTopicAsync()
    {
        lock (_lock)
        {
            if (_ensured is null || _ensured.IsFaulted || _ensured.IsCanceled)
                _ensured = EnsureTopicOnceAsync();
            return _ensured;
        }
    }

    public ValueTask DisposeAsync() => _producer.IsValueCreated ? _producer.Value.DisposeAsync() : ValueTask.CompletedTask;

    private async Task<int> EnsureTopicOnceAsync()
    {
        try
        {
            // A topic that was made otherwise would drop wake-ups that are not settled, or lose them in a power cut.
            return (await TopicSettings.KeepAsync(Client.Broker, Topic, Configs).ConfigureAwait(false)).Partitions.Count;
        }
        catch (BrokerException unknown) when (unknown.Code == ErrorCode.UnknownTopicOrPartition)
        {
            await Client.Admin.EnsureTopicAsync(Topic, Partitions, Configs).ConfigureAwait(false);
            return (await Client.Broker.GetTopicAsync(Topic).ConfigureAwait(false)).Partitions;
        }
    }
}
