using System.Collections;
using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Api;

namespace OrleansMq.Groups.Consumer;

/// <summary>A partition, identified by its topic's id.</summary>
/// <param name="TopicId">The topic.</param>
/// <param name="Partition">The partition's number, from 0.</param>
internal readonly record struct TopicIdPartition(Guid TopicId, int Partition) : IComparable<TopicIdPartition>
{
    /// <inheritdoc/>
    public int CompareTo(TopicIdPartition other) =>
        TopicId.CompareTo(other.TopicId) is var byTopic && byTopic != 0 ? byTopic : Partition.CompareTo(other.Partition);
}

/// <summary>An immutable set of partitions with value equality. In JSON <c>[{"topicId": "…", "partitions": [0, 1]}]</c>.</summary>
[JsonConverter(typeof(PartitionSetConverter))]
internal sealed class PartitionSet : IReadOnlyCollection<TopicIdPartition>, IEquatable<PartitionSet>
{
    private readonly ImmutableArray<TopicIdPartition> _sorted;

    private PartitionSet(ImmutableArray<TopicIdPartition> sorted) => _sorted = sorted;

    /// <summary>The empty set.</summary>
    public static PartitionSet Empty { get; } = new([]);

    /// <inheritdoc/>
    public int Count => _sorted.Length;

    /// <summary>Whether the set is empty.</summary>
    public bool IsEmpty => _sorted.IsEmpty;

    /// <summary>Creates a set; duplicates are removed.</summary>
    public static PartitionSet Of(IEnumerable<TopicIdPartition> partitions)
    {
        var sorted = partitions.Distinct().ToArray();
        Array.Sort(sorted);
        return sorted.Length == 0 ? Empty : new PartitionSet(ImmutableArray.Create(sorted));
    }

    /// <summary>Creates a set from the protocol's form.</summary>
    public static PartitionSet Of(IEnumerable<TopicPartitions> topics) =>
        Of(topics.SelectMany(topic => topic.Partitions.Select(partition => new TopicIdPartition(topic.TopicId, partition))));

    /// <summary>Converts the set to the protocol's form: topics in order, partitions ascending.</summary>
    public IReadOnlyList<TopicPartitions> ToTopicPartitions() =>
        [.. _sorted.GroupBy(partition => partition.TopicId)
            .Select(topic => new TopicPartitions(topic.Key, [.. topic.Select(partition => partition.Partition)]))];

    /// <summary>Whether the set contains a partition.</summary>
    public bool Contains(TopicIdPartition partition) => _sorted.BinarySearch(partition) >= 0;

    /// <summary>Returns the partitions that are in both sets.</summary>
    public PartitionSet Intersect(PartitionSet other) => Where(other.Contains);

    /// <summary>Returns the partitions that are not in the other set.</summary>
    public PartitionSet Except(PartitionSet other) => other.IsEmpty ? this : Where(partition => !other.Contains(partition));

    /// <summary>Returns the partitions of both sets.</summary>
    public PartitionSet Union(PartitionSet other) => other.IsEmpty ? this : IsEmpty ? other : Of(_sorted.Concat(other._sorted));

    /// <summary>Whether the sets have a partition in common.</summary>
    public bool Overlaps(PartitionSet other) => _sorted.Any(other.Contains);

    /// <summary>Whether the other set contains all partitions of this one.</summary>
    public bool IsSubsetOf(PartitionSet other) => _sorted.All(other.Contains);

    /// <summary>Returns the partitions that satisfy a predicate; the same instance if all do.</summary>
    public PartitionSet Where(Func<TopicIdPartition, bool> predicate)
    {
        var chosen = _sorted.Where(predicate).ToImmutableArray();
        return chosen.Length == _sorted.Length ? this : chosen.IsEmpty ? Empty : new PartitionSet(chosen);
    }

    /// <inheritdoc/>
    public bool Equals(PartitionSet? other) =>
        other is not null && (ReferenceEquals(this, other) || _sorted.AsSpan().SequenceEqual(other._sorted.AsSpan()));

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as PartitionSet);

    /// <inheritdoc/>
    public override int GetHashCode() => IsEmpty ? 0 : HashCode.Combine(Count, _sorted[0], _sorted[^1]);

    /// <inheritdoc/>
    public IEnumerator<TopicIdPartition> GetEnumerator() => ((IEnumerable<TopicIdPartition>)_sorted).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}

/// <summary>The JSON of a <see cref="PartitionSet"/>.</summary>
internal sealed class PartitionSetConverter : JsonConverter<PartitionSet>
{
    /// <inheritdoc/>
    public override PartitionSet Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        using var document = JsonDocument.ParseValue(ref reader);
        try
        {
            return PartitionSet.Of(document.RootElement.EnumerateArray()
                .SelectMany(topic => topic.GetProperty("partitions").EnumerateArray()
                .Select(partition => new TopicIdPartition(topic.GetProperty("topicId").GetGuid(), partition.GetInt32()))));
        }
        catch (Exception exception) when (exception is InvalidOperationException or KeyNotFoundException or FormatException)
        {
            throw new JsonException("It is not a list of topicId and partitions.", exception);
        }
    }

    /// <inheritdoc/>
    public override void Write(Utf8JsonWriter writer, PartitionSet value, JsonSerializerOptions options)
    {
        writer.WriteStartArray();
        foreach (var topic in value.ToTopicPartitions())
        {
            writer.WriteStartObject();
            writer.WriteString("topicId", topic.TopicId);
            writer.WriteStartArray("partitions");
            foreach (var partition in topic.Partitions)
                writer.WriteNumberValue(partition);
            writer.WriteEndArray();
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }
}
