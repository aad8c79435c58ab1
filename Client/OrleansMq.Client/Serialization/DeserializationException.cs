namespace OrleansMq.Client;

/// <summary>
/// A record whose key or value the deserializer refused. The reader stands on it: seek to <see cref="Offset"/> + 1 to go on behind it.
/// </summary>
public sealed class DeserializationException(TopicPartition partition, long offset, string part, Exception inner)
    : Exception($"The {part} of the record at {partition}, offset {offset}, cannot be deserialized: {inner.Message} Seek to offset "
    + $"{offset + 1} to skip it.", inner)
{
    /// <summary>The record's partition.</summary>
    public TopicPartition Partition { get; } = partition;

    /// <summary>The record's offset.</summary>
    public long Offset { get; } = offset;

    /// <summary><c>key</c> or <c>value</c>.</summary>
    public string Part { get; } = part;
}
