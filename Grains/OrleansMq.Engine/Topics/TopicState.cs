using System.Collections.Immutable;
using System.Text.Json.Serialization;
using OrleansMq.Api;

namespace OrleansMq.Topics;

/// <summary>Where a topic is in its life. Written into documents by name.</summary>
[JsonConverter(typeof(TopicStatusConverter))]
public enum TopicStatus
{
    /// <summary>Not known.</summary>
    Unknown = 0,
    /// <summary>Its name is taken, its partitions are being made: not served yet. After a crash it is finished, or undone.</summary>
    Creating = 1,
    /// <summary>Served.</summary>
    Active = 2,
    /// <summary>Not served any more, its disk is being freed. After a crash it is finished.</summary>
    Deleting = 3,
}

/// <summary>
/// A topic's document, stored under <c>topic/&lt;name&gt;</c>: the same in both flavours. Its methods decide what the next document is; who
/// calls them writes it, and only then acts.
/// </summary>
public sealed record TopicState
{
    /// <summary>The most partitions a topic may have.</summary>
    public const int MaxPartitions = 10_000;

    /// <summary>The topic's name.</summary>
    public required string Name { get; init; }

    /// <summary>Never reused, never empty.</summary>
    public required Guid TopicId { get; init; }

    /// <summary>How many partitions exist; while <see cref="TopicStatus.Creating"/>, how many there are to be.</summary>
    public required int Partitions { get; init; }

    /// <summary>With how many replicas each of its partitions is made; 1 is left out of the document.</summary>
    [JsonIgnore]
    public short ReplicationFactor
    {
        get => StoredReplicationFactor ?? 1;
        init => StoredReplicationFactor = value == 1 ? null : value;
    }

    /// <summary><see cref="ReplicationFactor"/> as it is written.</summary>
    [JsonPropertyName("replicationFactor"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public short? StoredReplicationFactor { get; init; }

    /// <summary>The keys set on this topic, in Kafka's names and text form.</summary>
    public ImmutableSortedDictionary<string, string> Configs
    {
        get;
        init => field = value.WithComparers(StringComparer.Ordinal); // The JSON reader makes one that compares by culture.
    } = ImmutableSortedDictionary.Create<string, string>(StringComparer.Ordinal);

    /// <summary>Where it is in its life.</summary>
    public required TopicStatus Status { get; init; }

    /// <summary>
    /// Written before partitions are added, gone after: how many there will be. A partition below <see cref="Partitions"/> whose directory
    /// is missing is thereby a loss, and never mistaken for one that was about to be made.
    /// </summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public int? GrowingTo { get; init; }

    /// <summary>The document's key in the state store.</summary>
    public static string KeyOf(string name) => $"topic/{name}";

    /// <summary>The topic is served from now on.</summary>
    public TopicState Activate() => this with { Status = TopicStatus.Active };

    /// <summary>The configuration changed: a value of null returns a key to its default. All or nothing.</summary>
    /// <returns>The next document, or <see cref="ErrorCode.InvalidConfig"/>.</returns>
    public TopicDecision<TopicState> Alter(IReadOnlyDictionary<string, string?> changes, TopicConfig defaults)
    {
        var configs = Configs.ToBuilder();
        foreach (var (name, value) in changes)
        {
            if (value is not null)
                configs[name] = value.Trim();
            else if (!configs.Remove(name) && TopicConfigKeys.Find(name) is null)
                configs[name] = ""; // Not a key at all: let the rules say so.
        }
        var parsed = TopicConfigRules.Parse(configs, defaults);
        return parsed.IsAccepted
            ? TopicDecision<TopicState>.Accept(this with { Configs = configs.ToImmutable() })
            : TopicDecision<TopicState>.Refuse(parsed.Error, parsed.Message!);
    }

    /// <summary>More partitions: write this, make them, then <see cref="FinishAddPartitions"/>.</summary>
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

    /// <summary>All the partitions that were to be added are there.</summary>
    public TopicState FinishAddPartitions() => this with { Partitions = GrowingTo ?? Partitions, GrowingTo = null };

    /// <summary>The topic in a list.</summary>
    public TopicListing ToListing() => new(Name, TopicId, Partitions);

    /// <summary>The topic in full.</summary>
    /// <param name="partitions">Each partition as its leader sees it, by number.</param>
    /// <param name="effective">What <see cref="TopicConfigRules.Parse"/> made of <see cref="Configs"/>.</param>
    public TopicDescription Describe(IReadOnlyList<PartitionDescription> partitions, TopicConfig effective) =>
        new(Name, TopicId, partitions, TopicConfigRules.Describe(Configs, effective));
}
