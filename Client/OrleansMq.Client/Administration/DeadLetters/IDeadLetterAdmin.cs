namespace OrleansMq.Client;

/// <summary>
/// Shows dead letters. Each call reads a bounded number of records and bytes, the newest of each partition, and its result says how many of
/// those that are there it read. <see cref="IAdmin.RedriveAsync"/> sends them back.
/// </summary>
public interface IDeadLetterAdmin
{
    /// <summary>Summarizes the topics whose names end in <c>.dead-letter</c>, that hold records and that may be read, ordered by name.
    /// Topics under other names are described one by one.</summary>
    /// <param name="maxRead">How many records are read at most, over all topics: 1 to 1,000,000, 10,000 by default. Partitions share it
    /// evenly.</param>
    /// <param name="maxReadBytes">How many bytes are read at most, as stored and as decompressed together: 1 to 16 GiB, 256 MiB by default.
    /// Partitions share them evenly.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maxRead"/> or
    /// <paramref name="maxReadBytes"/> is outside of its range.</exception>
    /// <exception cref="OrleansMqException">A partition cannot be read.</exception>
    Task<IReadOnlyList<DeadLetterTopic>> ListAsync(int maxRead = 10_000, long maxReadBytes = 256 << 20,
        CancellationToken cancellationToken = default);

    /// <summary>Summarizes one topic under any name.</summary>
    /// <param name="deadLetterTopic">The topic that holds the dead letters, for example <c>orders.dead-letter</c>.</param>
    /// <param name="maxRead">How many records are read at most: 1 to 1,000,000, 10,000 by default.</param>
    /// <param name="maxReadBytes">How many bytes are read at most, as stored and as decompressed together: 1 to 16 GiB, 256 MiB by default.
    /// Partitions share them evenly.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maxRead"/> or
    /// <paramref name="maxReadBytes"/> is outside of its range.</exception>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>: the topic does not exist.</exception>
    /// <exception cref="OrleansMqException">A partition cannot be read.</exception>
    Task<DeadLetterTopic> DescribeAsync(string deadLetterTopic, int maxRead = 10_000, long maxReadBytes = 256 << 20,
        CancellationToken cancellationToken = default);

    /// <summary>Returns the newest dead letters of a topic, oldest first.</summary>
    /// <param name="deadLetterTopic">The topic that holds the dead letters.</param>
    /// <param name="query">Which of them; null for the newest 100.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number of the query is outside of its range.</exception>
    /// <exception cref="BrokerException"><see cref="ErrorCode.UnknownTopicOrPartition"/>: the topic does not exist.</exception>
    /// <exception cref="OrleansMqException">A partition cannot be read.</exception>
    Task<DeadLetterPage> ReadAsync(string deadLetterTopic, DeadLetterQuery? query = null, CancellationToken cancellationToken = default);
}

/// <summary>Selects dead letters, see <see cref="IDeadLetterAdmin.ReadAsync"/>.</summary>
public sealed record DeadLetterQuery
{
    /// <summary>Returns only those of this topic; null for all.</summary>
    public string? SourceTopic { get; init; }

    /// <summary>Returns only those of this group; null for all.</summary>
    public string? GroupId { get; init; }

    /// <summary>How many are returned at most: 1 to 10,000, 100 by default.</summary>
    public int MaxLetters { get; init; } = 100;

    /// <summary>How many records are read at most to find them: 1 to 1,000,000, 10,000 by default.</summary>
    public int MaxRead { get; init; } = 10_000;

    /// <summary>How many bytes are read at most to find them, as stored and as decompressed together: 1 to 16 GiB, 256 MiB by
    /// default.</summary>
    public long MaxReadBytes { get; init; } = 256 << 20;
}
