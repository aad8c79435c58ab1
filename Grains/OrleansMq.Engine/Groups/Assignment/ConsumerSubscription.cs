namespace OrleansMq.Groups.Assignment;

/// <summary>The subscription with which a classic consumer joins: Kafka's ConsumerProtocolSubscription. Encoded by
/// <see cref="ConsumerProtocol"/>.</summary>
internal sealed record ConsumerSubscription
{
    /// <summary>An unknown generation.</summary>
    public const int NoGeneration = -1;

    /// <summary>The names of the topics to read.</summary>
    public IReadOnlyList<string> Topics { get; init; } = [];

    /// <summary>Data for the assignor, in its own encoding (see <see cref="StickyUserData"/>); null for none.</summary>
    public ReadOnlyMemory<byte>? UserData { get; init; }

    /// <summary>The partitions it owns while it joins (version 1 and above): all of them with a cooperative assignor, none with an eager
    /// one.</summary>
    public IReadOnlyList<TopicPartition> OwnedPartitions { get; init; } = [];

    /// <summary>The generation in which <see cref="OwnedPartitions"/> was assigned (version 2 and above); <see cref="NoGeneration"/> if
    /// unknown.</summary>
    public int Generation { get; init; } = NoGeneration;

    /// <summary>The member's rack (version 3 and above); null for none.</summary>
    public string? RackId { get; init; }
}

/// <summary>The assignment of a classic consumer: Kafka's ConsumerProtocolAssignment. Encoded by <see cref="ConsumerProtocol"/>.</summary>
/// <param name="Partitions">The assigned partitions.</param>
/// <param name="UserData">Data of the assignor; null for none.</param>
internal sealed record ConsumerAssignment(IReadOnlyList<TopicPartition> Partitions, ReadOnlyMemory<byte>? UserData = null);
