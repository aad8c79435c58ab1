using System.Collections.Immutable;
using System.Text.Json.Serialization;
using OrleansMq.Api;
using OrleansMq.Records;

namespace OrleansMq.Topics;

/// <summary>The stage of a topic's life cycle. Stored in documents by name.</summary>
[JsonConverter(typeof(TopicStatusConverter))]
internal enum TopicStatus
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>Its name is reserved and its partitions are being created; it is not served yet. After a crash it is completed or
    /// undone.</summary>
    Creating = 1,
    /// <summary>Served.</summary>
    Active = 2,
    /// <summary>It is not served any more, and its disk space is being freed. After a crash this is completed.</summary>
    Deleting = 3,
}

/// <summary>
/// A topic's document, stored under <c>topic/&lt;name&gt;</c>, the same in both flavours. The methods compute the next document. The caller
/// writes it, and acts only afterwards.
/// </summary>
internal sealed record TopicState
{
    /// <summary>The maximum number of partitions.</summary>
    public const int MaxPartitions = 10_000;

    /// <summary>The maximum replication factor.</summary>
    public const short MaxReplicationFactor = 32;

    /// <summary>The topic's name.</summary>
    public required string Name { get; init; }

    /// <summary>Never reused, never empty.</summary>
    public required Guid TopicId { get; init; }

    /// <summary>The number of partitions. While <see cref="TopicStatus.Creating"/>, the number to be created.</summary>
    public required int Partitions { get; init; }

    /// <summary>The number of replicas that each of its partitions was given; 1 is omitted from the document.</summary>
    [JsonIgnore]
    public short ReplicationFactor
    {
        get => StoredReplicationFactor ?? 1;
        init => StoredReplicationFactor = value == 1 ? null : value;
    }

    /// <summary><see cref="ReplicationFactor"/> as stored.</summary>
    [JsonPropertyName("replicationFactor"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public short? StoredReplicationFactor { get; init; }

    /// <summary>The replication factor that it gets when enough brokers have joined; null if it has it. See
    /// <see cref="Clusters.ReplicaGrowth"/>.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public short? IntendedReplicationFactor { get; init; }

    /// <summary>The keys set on this topic, in Kafka's names and text form.</summary>
    public ImmutableSortedDictionary<string, string> Configs
    {
        get;
        init => field = value.WithComparers(StringComparer.Ordinal); // The JSON reader creates one that compares by culture.
    } = ImmutableSortedDictionary.Create<string, string>(StringComparer.Ordinal);

    /// <summary>The stage of its life cycle.</summary>
    public required TopicStatus Status { get; init; }

    /// <summary>
    /// The total number while partitions are being added, written before and removed afterwards. So a missing directory of a partition
    /// below <see cref="Partitions"/> is always a loss, and never a partition about to be created.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? GrowingTo { get; init; }

    /// <summary>The document's key in the state store.</summary>
    public static string KeyOf(string name) => $"topic/{name}";

    /// <summary>Raises the replication factor to one that all partitions have reached, never beyond the intended one.</summary>
    /// <returns>This instance if nothing changes.</returns>
    public TopicState Raise(short reached) => IntendedReplicationFactor is { } intended && reached > ReplicationFactor
        ? this with
        {
            ReplicationFactor = Math.Min(reached, intended),
            IntendedReplicationFactor = reached >= intended ? null : intended,
        }
        : this;

    /// <summary>Marks the topic as active.</summary>
    public TopicState Activate() => this with { Status = TopicStatus.Active };

    /// <summary>Changes the configuration; null resets a key to its default. Either all changes apply or none.</summary>
    /// <param name="changes">The keys and their values.</param>
    /// <param name="defaults">The configuration for keys that the topic does not set.</param>
    /// <param name="codecs">The codecs of which a changed <c>compression.type</c> must be one; null accepts any.</param>
    /// <returns>The next document, or <see cref="ErrorCode.InvalidConfig"/>.</returns>
    public TopicDecision<TopicState> Alter(IReadOnlyDictionary<string, string?> changes, TopicConfig defaults,
        CompressionCodecs? codecs = null)
    {
        var configs = Configs.ToBuilder();
        foreach (var (name, value) in changes)
        {
            if (value is not null)
                configs[name] = value.Trim();
            else if (!configs.Remove(name) && TopicConfigKeys.Find(name) is null)
                configs[name] = ""; // Unknown key: the rules below report it.
        }
        var parsed = TopicConfigRules.Parse(configs, defaults);
        if (!parsed.IsAccepted)
            return TopicDecision<TopicState>.Refuse(parsed.Error, parsed.Message!);
        // A topic that came to a broker without its codec can be altered otherwise.
        return parsed.Next.CompressionType != CodecOf(defaults) && TopicConfigRules.MissingCodec(parsed.Next, codecs) is { } missing
            ? TopicDecision<TopicState>.Refuse(ErrorCode.InvalidConfig, missing)
            : TopicDecision<TopicState>.Accept(this with { Configs = configs.ToImmutable() });
    }

    /// <summary>The codec of its <c>compression.type</c>; null for <c>producer</c>, and for a configuration that is invalid.</summary>
    /// <param name="defaults">The configuration for keys that the topic does not set.</param>
    public CompressionType? CodecOf(TopicConfig defaults) =>
        TopicConfigRules.Parse(Configs, defaults) is { IsAccepted: true, Next: var config } ? config.CompressionType : null;

    /// <summary>Begins to add partitions: write this document, create them, then call <see cref="FinishAddPartitions"/>.</summary>
    /// <returns>The next document, or <see cref="ErrorCode.InvalidPartitions"/>.</returns>
    public TopicDecision<TopicState> BeginAddPartitions(int totalCount)
    {
        if (totalCount <= Partitions)
            return TopicDecision<TopicState>.Refuse(ErrorCode.InvalidPartitions,
                $"Topic '{Name}' has {Partitions} partitions; the new total must be above that, not {totalCount}. Partitions cannot be "
                + "taken away.");
        if (totalCount > MaxPartitions)
            return TopicDecision<TopicState>.Refuse(ErrorCode.InvalidPartitions,
                $"A topic may have {MaxPartitions} partitions, not {totalCount}.");
        return TopicDecision<TopicState>.Accept(this with { GrowingTo = totalCount });
    }

    /// <summary>Marks the added partitions as created.</summary>
    public TopicState FinishAddPartitions() => this with { Partitions = GrowingTo ?? Partitions, GrowingTo = null };

    /// <summary>Converts the topic to a list entry.</summary>
    public TopicListing ToListing() => new(Name, TopicId, Partitions);

    /// <summary>Describes the topic.</summary>
    /// <param name="partitions">Each partition as its leader reports it, ordered by number.</param>
    /// <param name="effective">The result of <see cref="TopicConfigRules.Parse"/> for <see cref="Configs"/>.</param>
    public TopicDescription Describe(IReadOnlyList<PartitionDescription> partitions, TopicConfig effective) =>
        new(Name, TopicId, partitions, TopicConfigRules.Describe(Configs, effective))
        {
            IntendedReplicationFactor = IntendedReplicationFactor,
        };
}
