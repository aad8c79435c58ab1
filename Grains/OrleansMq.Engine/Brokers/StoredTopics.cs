using OrleansMq.Diagnostics;
using OrleansMq.State;
using OrleansMq.Topics;

namespace OrleansMq.Brokers;

/// <summary>What the state store says of topics when a broker starts, and what is to be done about each.</summary>
internal sealed class StoredTopics
{
    private readonly Dictionary<Guid, TopicConfig> _configById = [];

    private StoredTopics(Catalogue catalogue) => Catalogue = catalogue;

    public Catalogue Catalogue { get; }

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

    /// <summary>Whether a topic's document lists a partition.</summary>
    public bool Lists(TopicPartition partition, Guid topicId) => States.TryGetValue(partition.Topic, out var topic)
        && topic.TopicId == topicId && partition.Partition < Math.Max(topic.Partitions, topic.GrowingTo ?? 0)
        && _configById.ContainsKey(topicId);

    public static async Task<StoredTopics> ReadAsync(JournaledStateStore store, BrokerOptions options)
    {
        var documents = new Dictionary<string, StoredDocument<TopicCatalogue>>();
        foreach (var page in Enumerable.Range(0, TopicCatalogue.Pages))
        {
            var key = TopicCatalogue.KeyOf(page);
            var document = new StoredDocument<TopicCatalogue>(store, key, TopicJson.Default.TopicCatalogue);
            await SetAsideIfDamagedAsync(document, store, key, options.Log).ConfigureAwait(false);
            documents.Add(TopicCatalogue.NameOf(page), document);
        }
        var whole = new StoredDocument<WholeCatalogue>(store, WholeCatalogue.Key, TopicJson.Default.WholeCatalogue);
        await SetAsideIfDamagedAsync(whole, store, WholeCatalogue.Key, options.Log).ConfigureAwait(false);
        var topics = new StoredTopics(new Catalogue(name => documents[name], whole));
        var pages = await topics.Catalogue.OpenAsync(isShared: false).ConfigureAwait(false);
        foreach (var key in await store.ListAsync("topic").ConfigureAwait(false))
            await topics.ReadTopicAsync(store, key["topic/".Length..]).ConfigureAwait(false);
        if (await topics.AdoptAsync(pages, options).ConfigureAwait(false))
            pages = await topics.Catalogue.ReadAllAsync().ConfigureAwait(false);
        foreach (var (name, entry) in pages.SelectMany(page => page.Topics).OrderBy(topic => topic.Key, StringComparer.Ordinal))
            topics.Decide(name, entry, options.TopicDefaults);
        return topics;
    }

    // The topics' documents say what is on a page, but for deletions under way.
    private static async Task SetAsideIfDamagedAsync<T>(StoredDocument<T> document, JournaledStateStore store, string key, EngineLog log)
        where T : class
    {
        try
        {
            await document.ReadAsync().ConfigureAwait(false);
        }
        catch (CorruptStateException damaged)
        {
            log.Write(EngineLogLevel.Error, $"{damaged.Message} It is set aside as '{store.SetAside(key)}', and made again from the "
                + "topics' own documents.", damaged);
        }
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

    // Documents without an entry: their page was lost. They say enough to make it again.
    private async Task<bool> AdoptAsync(IReadOnlyList<TopicCatalogue> pages, BrokerOptions options)
    {
        var lost = States.Values.Where(topic => TopicRecovery.Decide(
            pages[TopicCatalogue.PageOf(topic.Name)].Topics.GetValueOrDefault(topic.Name), topic) == TopicRecoveryAction.Adopt).ToArray();
        foreach (var topic in lost)
        {
            options.Log.Write(EngineLogLevel.Warning,
                $"Topic '{topic.Name}' has a document but is not in the catalogue; taking it in.");
            await Catalogue.ChangeAsync(topic.Name, page => page.Adopt(topic)).ConfigureAwait(false);
        }
        return lost.Length > 0;
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
