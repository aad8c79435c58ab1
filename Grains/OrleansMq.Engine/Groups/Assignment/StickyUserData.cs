namespace OrleansMq.Groups.Assignment;

/// <summary>
/// What the sticky assignors put into a subscription's user data, in the bytes of Kafka's clients.
/// <code>
/// sticky:             partitions [topic string, [partition i32]] | generation i32 (older clients: without the generation)
/// cooperative-sticky: generation i32
/// </code>
/// An eager member gives everything up before it joins, so only here does <c>sticky</c> learn what it had.
/// </summary>
public static class StickyUserData
{
    /// <summary>For <c>sticky</c>: what the member had, and in which generation it was given it.</summary>
    public static byte[] Encode(IEnumerable<TopicPartition> partitions, int generation)
    {
        var writer = new ProtocolWriter();
        writer.WriteTopicPartitions(partitions);
        writer.WriteInt32(generation);
        return writer.ToArray();
    }

    /// <summary>For <c>cooperative-sticky</c>: the generation alone.</summary>
    public static byte[] Encode(int generation)
    {
        var writer = new ProtocolWriter();
        writer.WriteInt32(generation);
        return writer.ToArray();
    }

    /// <summary>Reads what a sticky member had. Bytes that cannot be read are a member that had nothing: stickiness is a wish, no reason to
    /// fail.</summary>
    public static (IReadOnlyList<TopicPartition> Partitions, int Generation) Decode(ReadOnlyMemory<byte>? userData)
    {
        if (userData is not { } bytes)
            return ([], ConsumerSubscription.NoGeneration);
        if (bytes.Length == 4)
        {
            // The cooperative form, or an empty list without a generation: the same four bytes where the list is empty.
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
