using OrleansMq.State;
using OrleansMq.Topics;

namespace OrleansMq.Brokers;

/// <summary>What the state store says of topics when a broker starts, and what is to be done about each.</summary>
internal sealed class StoredTopics
{
    private readonly Dictionary<Guid, TopicConfig> _configById = [];

    private StoredTopics(StoredDocument<TopicCatalogue> catalogue) => Catalogue = catalogue;

    public StoredDocument<TopicCatalogue> Catalogue { get; }

    /// <summary>Every document that could be read, by topic name.</summary>
    public Dictionary<string, StoredDocument<TopicState>> Documents { get; } = new(StringComparer.Ordinal);

    public Dictionary<string, TopicState> States { get; } = new(StringComparer.Ordinal);

    public Dictionary<string, TopicConfig> Configs { get; } = new(StringComparer.Ordinal);

    /// <summary>What to do, by topic name.</summary>
    public Dictionary<string, TopicRecoveryAction> Actions { get; } = new(StringComparer.Ordinal);

    /// <summary>Of topics that cannot be served: why, and what to do.</summary>
    public Dictionary<string, string> Damaged { get; } = new(StringComparer.Ordinal);

    /// <summary>The configuration to open a topic's partitions with; null for a topic that nobody knows.</summary>
    public TopicConfig? FindConfig(Guid topicId) => _configById.GetValueOrDefault(topicId);

    public static async Task<StoredTopics> ReadAsync(IStateStore store, BrokerOptions options)
    {
        var topics = new StoredTopics(new StoredDocument<TopicCatalogue>(store, TopicCatalogue.Key, TopicJson.Default.TopicCatalogue));
        var catalogue = await topics.Catalogue.ReadAsync().ConfigureAwait(false) ?? TopicCatalogue.Empty;
        foreach (var key in await store.ListAsync("topic").ConfigureAwait(false))
            await topics.ReadTopicAsync(store, key["topic/".Length..]).ConfigureAwait(false);
        catalogue = await topics.AdoptAsync(catalogue, options).ConfigureAwait(false);
        foreach (var (name, entry) in catalogue.Topics)
            topics.Decide(name, entry, options.TopicDefaults);
        return topics;
    }

    private async Task ReadTopicAsync(IStateStore store, string name)
    {
        var document = Documents[name] = new StoredDocument<TopicState>(store, TopicState.KeyOf(name), TopicJson.Default.TopicState);
        try
        {
            if (await document.ReadAsync().ConfigureAwait(false) is not { } state)
                return;
            if (state.Name == name)
                States[name] = state;
            else
                Damaged[name] = $"The state document '{TopicState.KeyOf(name)}' is that of topic '{state.Name}'. Restore it from a "
                    + "backup, or delete the topic.";
        }
        catch (CorruptStateException exception)
        {
            Damaged[name] = exception.Message;
        }
    }

    // Documents without an entry: the catalogue was lost. They say enough to make it again.
    private async Task<TopicCatalogue> AdoptAsync(TopicCatalogue catalogue, BrokerOptions options)
    {
        var adopted = catalogue;
        foreach (var topic in States.Values.Where(topic => TopicRecovery.Decide(catalogue.Topics.GetValueOrDefault(topic.Name),
            topic) == TopicRecoveryAction.Adopt))
        {
            options.Log.Write(Diagnostics.EngineLogLevel.Warning,
                $"Topic '{topic.Name}' has a document but is not in the catalogue; taking it in.");
            adopted = adopted.Adopt(topic);
        }
        if (!ReferenceEquals(adopted, catalogue))
            await Catalogue.WriteAsync(adopted).ConfigureAwait(false);
        return adopted;
    }

    private void Decide(string name, TopicCatalogueEntry entry, TopicConfig defaults)
    {
        var action = Damaged.ContainsKey(name) && entry.Status != TopicStatus.Deleting
            ? TopicRecoveryAction.Damaged
            : TopicRecovery.Decide(entry, States.GetValueOrDefault(name));
        if (action == TopicRecoveryAction.Damaged)
            Damaged.TryAdd(name, $"The state document '{TopicState.KeyOf(name)}' of topic '{name}' is missing or belongs to another "
                + "topic. Restore the data directory from a backup, or delete the topic.");
        var config = defaults;
        if (States.TryGetValue(name, out var state) && action != TopicRecoveryAction.Damaged)
        {
            var parsed = TopicConfigRules.Parse(state.Configs, defaults);
            if (parsed.IsAccepted)
                config = parsed.Next;
            else
                (action, Damaged[name]) = (TopicRecoveryAction.Damaged, $"Topic '{name}' has a configuration that this version does "
                    + $"not accept. {parsed.Message}");
        }
        if (action == TopicRecoveryAction.Damaged)
            config = KeepEverything;
        Actions[name] = action;
        Configs[name] = config;
        _configById[entry.TopicId] = config;
    }

    // How long a damaged topic keeps its records nobody knows, so nothing is deleted.
    private static TopicConfig KeepEverything { get; } = TopicConfig.Default with { RetentionMs = -1, RetentionBytes = -1 };
}
