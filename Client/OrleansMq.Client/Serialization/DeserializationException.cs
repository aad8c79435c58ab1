namespace OrleansMq.Client;

/// <summary>
/// The deserializer rejected the key or value of a record. The reader stays at that record: seek to <see cref="Offset"/> + 1 to skip it.
/// </summary>
public sealed class DeserializationException(TopicPartition partition, long offset, string part, Exception inner)
    : OrleansMqException(ErrorCode.InvalidRecord,
        $"The {part} of the record at {partition}, offset {offset}, cannot be deserialized: {inner.Message} Seek to offset "
    + $"{offset + 1} to skip it.", inner)
{
    /// <summary>The record's partition.</summary>
    public TopicPartition Partition { get; } = partition;

    /// <summary>The record's offset.</summary>
    public long Offset { get; } = offset;

    /// <summary><c>key</c> or <c>value</c>.</summary>
    public string Part { get; } = part;
}
