namespace OrleansMq.Consumers;

/// <summary>How records of one cursor are delivered to grains.</summary>
internal sealed record DeliveryOptions
{
    /// <summary>How often a record is tried before it is dead-lettered.</summary>
    public required int MaxAttempts { get; init; }
    /// <summary>The wait after the first failure.</summary>
    public required TimeSpan RetryDelay { get; init; }
    /// <summary>The longest wait after a failure.</summary>
    public required TimeSpan MaxRetryDelay { get; init; }
    /// <summary>The most keys whose records a silo delivers at once.</summary>
    public int MaxInFlight { get; init; } = 256;
    /// <summary>The most records of one key in one call.</summary>
    public int MaxBatch { get; init; } = 100;
    /// <summary>The most records of a partition that a silo holds.</summary>
    public int Credit { get; init; } = 400;
    /// <summary>How long after the death of a silo the records that it held are delivered by another.</summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(10);
    /// <summary>Whether a topic that does not exist is created.</summary>
    public bool CreateTopics { get; init; }
}
