namespace OrleansMq.Groups.Assignment;

/// <summary>
/// The user data that the sticky assignors put into a subscription, in the encoding of Kafka's clients.
/// <code>
/// sticky:             partitions [topic string, [partition i32]] | generation i32 (older clients: without the generation)
/// cooperative-sticky: generation i32
/// </code>
/// An eager member revokes all partitions before it joins, so this is the only place where <c>sticky</c> learns what it owned.
/// </summary>
internal static class StickyUserData
{
    /// <summary>Encodes for <c>sticky</c>: the member's former partitions and their generation.</summary>
    public static byte[] Encode(IEnumerable<TopicPartition> partitions, int generation)
    {
        var writer = new ProtocolWriter();
        writer.WriteTopicPartitions(partitions);
        writer.WriteInt32(generation);
        return writer.ToArray();
    }

    /// <summary>Encodes for <c>cooperative-sticky</c>: the generation only.</summary>
    public static byte[] Encode(int generation)
    {
        var writer = new ProtocolWriter();
        writer.WriteInt32(generation);
        return writer.ToArray();
    }

    /// <summary>Decodes the former partitions of a sticky member. Undecodable bytes mean none, since stickiness is only a
    /// preference.</summary>
    public static (IReadOnlyList<TopicPartition> Partitions, int Generation) Decode(ReadOnlyMemory<byte>? userData)
    {
        if (userData is not { } bytes)
            return ([], ConsumerSubscription.NoGeneration);
        if (bytes.Length == 4)
        {
            // The cooperative form, or an empty list without a generation. Both have four bytes.
            var generation = new ProtocolReader(bytes).ReadInt32("generation");
            return ([], generation > 0 ? generation : ConsumerSubscription.NoGeneration);
        }
        var reader = new ProtocolReader(bytes);
        var partitions = reader.ReadTopicPartitions("previousAssignment");
        if (reader.Error is not null)
            return ([], ConsumerSubscription.NoGeneration);
        var known = reader.ReadInt32("generation");
        return (partitions, reader.Error is null ? known : ConsumerSubscription.NoGeneration);
    }
}
