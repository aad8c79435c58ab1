using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json.Serialization;
using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Topics;

/// <summary>A topic in the catalogue.</summary>
/// <param name="TopicId">Never reused, never empty.</param>
/// <param name="Status">The stage of its life cycle.</param>
internal sealed record TopicCatalogueEntry(Guid TopicId, TopicStatus Status);

/// <summary>Defaults for new topics, and limits.</summary>
/// <param name="Defaults">The configuration for keys that a topic does not set.</param>
/// <param name="DefaultPartitions">The number of partitions if the request gives none.</param>
/// <param name="DefaultReplicationFactor">The replication factor if the request gives none. A topic is created with fewer replicas where
/// there are fewer brokers, and gets the others later.</param>
/// <param name="Brokers">The number of brokers, which limits the replication factor that a request gives.</param>
/// <param name="Codecs">The codecs of a broker alone: a topic that needs another one could not be written to. Null accepts any.</param>
/// <param name="WhyMissing">Describes which brokers of a cluster lack a codec; returns null if none does. Null accepts any.</param>
/// <param name="CanGrow">Whether other brokers may join, so that a topic is given its intended replicas later.</param>
internal sealed record TopicLimits(TopicConfig Defaults, int DefaultPartitions = 1, short DefaultReplicationFactor = 1, int Brokers = 1,
    CompressionCodecs? Codecs = null, Func<CompressionType, string?>? WhyMissing = null, bool CanGrow = false);

/// <summary>
/// One page of the list of all topics. A topic is on the page <see cref="PageOf"/> of its name, so that a change of it costs the same
/// however many topics there are. The pages are stored under <see cref="KeyOf"/>, the same in both flavours. A name belongs to the topic
/// that is listed here first. The methods compute the next page. The caller writes it, and acts only afterwards. The order of writes,
/// which a crash can interrupt at any point:
/// <code>
/// create: page Creating -> topic document Creating -> partitions -> topic document Active -> page Active
/// delete: page Deleting -> partitions gone -> topic document gone -> page without it
/// </code>
/// <see cref="TopicRecovery"/> decides what to do after a crash.
/// </summary>
internal sealed record TopicCatalogue
{
    /// <summary>The type of the documents: the first half of their keys.</summary>
    public const string StoreType = "catalogue";

    /// <summary>The number of pages: enough that a page of ten thousand topics is still small, few enough to read all at once.</summary>
    public const int Pages = 64;

    /// <summary>A page without topics.</summary>
    public static TopicCatalogue Empty { get; } = new();

    /// <summary>Returns the number of a topic's page. Names that collide (<see cref="TopicName.Collide"/>) are on the same.</summary>
    public static int PageOf(string topic)
    {
        // FNV-1a: stored documents depend on it.
        var hash = 2166136261u;
        foreach (var c in topic)
            hash = unchecked((hash ^ TopicName.Unified(c)) * 16777619);
        return (int)(hash % Pages);
    }

    /// <summary>Returns the name of a page's document: the second half of its key.</summary>
    public static string NameOf(int page) => page.ToString("x2", CultureInfo.InvariantCulture);

    /// <summary>Returns the key of a page's document in the state store.</summary>
    public static string KeyOf(int page) => $"{StoreType}/{NameOf(page)}";

    /// <summary>Returns the part of a list of topics that belongs on a page.</summary>
    public TopicCatalogue OnPage(int page)
    {
        var topics = Topics.Where(topic => PageOf(topic.Key) == page);
        // Leftovers belong to no name any more.
        return Empty with { Topics = Empty.Topics.AddRange(topics), Leftovers = page == 0 ? Leftovers : null };
    }

    /// <summary>The topics by name.</summary>
    public ImmutableSortedDictionary<string, TopicCatalogueEntry> Topics
    {
        get;
        init => field = value.WithComparers(StringComparer.Ordinal); // The JSON reader creates one that compares by culture.
    } = ImmutableSortedDictionary.Create<string, TopicCatalogueEntry>(StringComparer.Ordinal);

    /// <summary>Deleted topics, with the brokers that may still have their data on disk; null for none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public ImmutableSortedDictionary<Guid, ImmutableArray<int>>? Leftovers { get; init; }

    /// <summary>The metadata epoch of the controller that owns the page; 0 for none. Earlier controllers no longer write it.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public int Epoch { get; init; }

    /// <summary>The newest id of the page, also of topics that were deleted; null for none. A later topic has a newer id, by which groups
    /// tell two topics of one name apart, whatever the clocks of controllers say.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public Guid? NewestId { get; init; }

    /// <summary>Begins to create a topic.</summary>
    /// <param name="request">Its name, partitions, replication factor and configuration.</param>
    /// <param name="topicId">A new UUID. Where it is not newer than all of the page, the topic gets another.</param>
    /// <param name="limits">Defaults and limits.</param>
    /// <returns>The next page and the topic's document, or <see cref="ErrorCode.InvalidTopic"/>,
    /// <see cref="ErrorCode.TopicAlreadyExists"/>, <see cref="ErrorCode.InvalidPartitions"/>,
    /// <see cref="ErrorCode.InvalidReplicationFactor"/>, <see cref="ErrorCode.InvalidConfig"/>, <see cref="ErrorCode.LeaderNotAvailable"/>
    /// before the first broker has joined.</returns>
    public TopicDecision<TopicCreation> BeginCreate(NewTopic request, Guid topicId, TopicLimits limits)
    {
        Diagnostics.Invariant.Check(topicId != Guid.Empty, "A topic's id is never empty");
        if (TopicName.Validate(request.Name) is { } badName)
            return Refuse(ErrorCode.InvalidTopic, badName);
        if (Topics.TryGetValue(request.Name, out var existing))
            return Refuse(ErrorCode.TopicAlreadyExists, AlreadyExists(request.Name, existing.Status));
        if (Topics.Keys.FirstOrDefault(name => TopicName.Collide(name, request.Name)) is { } other)
            return Refuse(ErrorCode.InvalidTopic, $"Topic '{request.Name}' collides with '{other}': in the names of metrics '.' and "
                + "'_' are the same. Choose another name.");
        if (request.Partitions is 0 or < -1 or > TopicState.MaxPartitions)
            return Refuse(ErrorCode.InvalidPartitions, $"A topic has 1 to {TopicState.MaxPartitions} partitions (-1 for the default), "
                + $"not {request.Partitions}.");
        var partitions = request.Partitions == -1 ? limits.DefaultPartitions : request.Partitions;
        if (partitions is < 1 or > TopicState.MaxPartitions)
            return Refuse(ErrorCode.InvalidPartitions, $"A topic has 1 to {TopicState.MaxPartitions} partitions by default, "
                + $"not {partitions}. Correct BrokerOptions.DefaultPartitions, or give the topic a number.");
        if (limits.Brokers == 0)
            return Refuse(ErrorCode.LeaderNotAvailable, "No broker has joined the cluster yet. Retry.");
        var isDefault = request.ReplicationFactor == -1;
        var intended = isDefault ? limits.DefaultReplicationFactor : request.ReplicationFactor;
        var most = isDefault || request.AllowFewerReplicas ? TopicState.MaxReplicationFactor : limits.Brokers;
        if (intended < 1 || intended > most)
            return Refuse(ErrorCode.InvalidReplicationFactor, request.AllowFewerReplicas
                ? $"A topic may have {most} replicas, not {intended}: choose 1 to {most}, or -1 for the default."
                : $"A replication factor of {intended} is not possible with {limits.Brokers} "
                    + $"broker{(limits.Brokers == 1 ? "" : "s")}: choose 1 to {limits.Brokers}, or -1 for the default.");
        var replicationFactor = (short)Math.Min(intended, limits.Brokers);
        var configs = (request.Configs ?? ImmutableSortedDictionary<string, string>.Empty).ToImmutableSortedDictionary(
            pair => pair.Key, pair => pair.Value?.Trim()!, StringComparer.Ordinal);
        var parsed = TopicConfigRules.Parse(configs, limits.Defaults.ForReplicas(replicationFactor));
        if (!parsed.IsAccepted)
            return Refuse(parsed.Error, parsed.Message!);
        if ((TopicConfigRules.MissingCodec(parsed.Next, limits.Codecs)
            ?? (parsed.Next.CompressionType is { } codec ? limits.WhyMissing?.Invoke(codec) : null)) is { } missing)
            return Refuse(ErrorCode.InvalidConfig, missing);
        var newId = TopicIds.Above(topicId, Topics.Values.Select(static known => known.TopicId).Append(NewestId ?? Guid.Empty));
        var topic = new TopicState
        {
            Name = request.Name,
            TopicId = newId,
            Partitions = partitions,
            ReplicationFactor = replicationFactor,
            IntendedReplicationFactor = limits.CanGrow && intended > replicationFactor ? intended : null,
            Configs = configs,
            Status = TopicStatus.Creating,
        };
        return TopicDecision<TopicCreation>.Accept(new TopicCreation(
            With(request.Name, newId, TopicStatus.Creating) with { NewestId = newId }, topic, parsed.Next));
    }

    /// <summary>Adds a topic that has a document but no entry: the catalogue was lost, or is older than the document.</summary>
    public TopicCatalogue Adopt(TopicState topic) => With(topic.Name, topic.TopicId, topic.Status);

    /// <summary>Marks a topic as active: its partitions exist.</summary>
    public TopicCatalogue FinishCreate(string name, Guid topicId) => With(name, topicId, TopicStatus.Active);

    /// <summary>Whether a topic is being created: neither completed nor being deleted, and not gone.</summary>
    public bool IsCreating(string name, Guid topicId) =>
        Topics.TryGetValue(name, out var entry) && entry == new TopicCatalogueEntry(topicId, TopicStatus.Creating);

    /// <summary>Begins to delete a topic, even if its creation or deletion was interrupted.</summary>
    /// <param name="name">The topic.</param>
    /// <param name="topicId">The id that it must have; null for any.</param>
    /// <returns>The next page, <see cref="ErrorCode.UnknownTopicOrPartition"/> or <see cref="ErrorCode.UnknownTopicId"/>.</returns>
    public TopicDecision<TopicCatalogue> BeginDelete(string name, Guid? topicId = null) => !Topics.TryGetValue(name, out var entry)
        ? TopicDecision<TopicCatalogue>.Refuse(ErrorCode.UnknownTopicOrPartition, UnknownTopic(name))
        : topicId is { } id && id != entry.TopicId
            ? TopicDecision<TopicCatalogue>.Refuse(ErrorCode.UnknownTopicId,
                $"Topic '{name}' has the id {entry.TopicId}, not {id}: it was created again.")
            : TopicDecision<TopicCatalogue>.Accept(With(name, entry.TopicId, TopicStatus.Deleting));

    /// <summary>Begins to remove what exists of a topic whose creation failed.</summary>
    /// <returns>The next page; null if the topic is gone, or was completed meanwhile.</returns>
    public TopicCatalogue? BeginUndo(string name, Guid topicId) =>
        Topics.TryGetValue(name, out var entry) && entry.TopicId == topicId && entry.Status != TopicStatus.Active
            ? With(name, topicId, TopicStatus.Deleting)
            : null;

    /// <summary>Removes a topic of which nothing is left. A new topic with the same name stays.</summary>
    public TopicCatalogue Forget(string name, Guid topicId) => Topics.TryGetValue(name, out var entry) && entry.TopicId == topicId
        ? this with { Topics = Topics.Remove(name) }
        : this;

    /// <summary>Notes brokers that may have the topic's data on disk. Each is notified until it confirms that it has none.</summary>
    public TopicCatalogue AddLeftovers(Guid topicId, IEnumerable<int> brokers) => brokers.ToImmutableArray() is { IsEmpty: false } some
        ? this with { Leftovers = (Leftovers ?? NoLeftovers).SetItem(topicId, some) }
        : this;

    /// <summary>Notes that a broker has no data of these topics any more.</summary>
    /// <returns>This instance if nothing changes.</returns>
    public TopicCatalogue ClearLeftovers(int broker, IEnumerable<Guid> topicIds)
    {
        var left = Leftovers ?? NoLeftovers;
        foreach (var id in topicIds)
        {
            if (left.TryGetValue(id, out var brokers) && brokers.Contains(broker))
                left = brokers.Length == 1 ? left.Remove(id) : left.SetItem(id, brokers.Remove(broker));
        }
        return left == (Leftovers ?? NoLeftovers) ? this : this with { Leftovers = left.IsEmpty ? null : left };
    }

    /// <summary>Returns the message for a topic that does not exist.</summary>
    public static string UnknownTopic(string name) =>
        $"There is no topic '{name}'. Create it first, or check the name: it is case sensitive.";

    /// <summary>Returns the message for a name that has passed to another topic.</summary>
    public static string OtherTopic(string name, Guid topicId) =>
        $"Topic '{name}' does not have the id {topicId}: that topic was deleted. Look the topic up again.";

    /// <summary>Returns the message for a partition that does not exist.</summary>
    public static string UnknownPartition(TopicPartition partition, int count) =>
        $"Topic '{partition.Topic}' has no partition {partition.Partition}: it has {count}, numbered from 0.";

    private static ImmutableSortedDictionary<Guid, ImmutableArray<int>> NoLeftovers =>
        ImmutableSortedDictionary<Guid, ImmutableArray<int>>.Empty;

    private static string AlreadyExists(string name, TopicStatus status) => status switch
    {
        TopicStatus.Deleting => $"Topic '{name}' is being deleted. Retry when that is done; if it failed, delete the topic again.",
        TopicStatus.Creating => $"Topic '{name}' is being created. If that failed, delete the topic and create it again.",
        _ => $"Topic '{name}' exists already.",
    };

    private TopicCatalogue With(string name, Guid topicId, TopicStatus status) =>
        this with { Topics = Topics.SetItem(name, new TopicCatalogueEntry(topicId, status)) };

    private static TopicDecision<TopicCreation> Refuse(ErrorCode error, string message) =>
        TopicDecision<TopicCreation>.Refuse(error, message);
}

/// <summary>The documents to write for a new topic.</summary>
/// <param name="Catalogue">The next page, written first.</param>
/// <param name="Topic">The topic's document, written second.</param>
/// <param name="Config">The configuration of its partitions.</param>
internal sealed record TopicCreation(TopicCatalogue Catalogue, TopicState Topic, TopicConfig Config);
