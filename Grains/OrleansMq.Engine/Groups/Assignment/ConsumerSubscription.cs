namespace OrleansMq.Groups.Assignment;

/// <summary>What a classic consumer says of itself when it joins: Kafka's ConsumerProtocolSubscription. Read and written by
/// <see cref="ConsumerProtocol"/>.</summary>
public sealed record ConsumerSubscription
{
    /// <summary>A generation that is not known.</summary>
    public const int NoGeneration = -1;

    /// <summary>The topics it wants to read, by name.</summary>
    public IReadOnlyList<string> Topics { get; init; } = [];

    /// <summary>What its assignor wants to be told, in the assignor's own bytes (see <see cref="StickyUserData"/>); null for
    /// nothing.</summary>
    public ReadOnlyMemory<byte>? UserData { get; init; }

    /// <summary>What it holds while it joins (version 1 and above): all of it with a cooperative assignor, nothing with an eager
    /// one.</summary>
    public IReadOnlyList<TopicPartition> OwnedPartitions { get; init; } = [];

    /// <summary>The generation in which it was given <see cref="OwnedPartitions"/> (version 2 and above); <see cref="NoGeneration"/> if not
    /// known.</summary>
    public int Generation { get; init; } = NoGeneration;

    /// <summary>Its rack (version 3 and above); null for none.</summary>
    public string? RackId { get; init; }
}

/// <summary>What a classic consumer is given: Kafka's ConsumerProtocolAssignment. Read and written by
/// <see cref="ConsumerProtocol"/>.</summary>
/// <param name="Partitions">What it is to read.</param>
/// <param name="UserData">The assignor's own bytes; null for none.</param>
public sealed record ConsumerAssignment(IReadOnlyList<TopicPartition> Partitions, ReadOnlyMemory<byte>? UserData = null);
