namespace OrleansMq.Consumers;

/// <summary>How records of one cursor are delivered to grains.</summary>
internal sealed record DeliveryOptions
{
    /// <summary>How long a record waits by default for a grain that is not reached. An outage of a storage is shorter, also one over days
    /// off.</summary>
    public static readonly TimeSpan DefaultUnreachableTimeout = TimeSpan.FromDays(7);

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
    /// <summary>How long a record waits for a grain that is not reached, before it is dead-lettered; null: for ever.</summary>
    public TimeSpan? UnreachableTimeout { get; init; } = DefaultUnreachableTimeout;
    /// <summary>Whether a topic that does not exist is created.</summary>
    public bool CreateTopics { get; init; }

    /// <summary>Validates them.</summary>
    /// <param name="owner">The public options that they are part of.</param>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    public void Validate(string owner)
    {
        Require(MaxAttempts is >= 1 and <= 1_000, owner, nameof(MaxAttempts), "is 1 to 1,000");
        Require(RetryDelay > TimeSpan.Zero && MaxRetryDelay >= RetryDelay, owner, nameof(RetryDelay),
            "is above zero and at most MaxRetryDelay");
        Require(MaxRetryDelay <= TimeSpan.FromDays(1), owner, nameof(MaxRetryDelay), "is at most a day");
        Require(MaxInFlight is >= 1 and <= 10_000, owner, nameof(MaxInFlight), "is 1 to 10,000");
        Require(MaxBatch is >= 1 and <= 1_000, owner, nameof(MaxBatch), "is 1 to 1,000");
        Require(Credit is >= 1 and <= 10_000, owner, nameof(Credit), "is 1 to 10,000");
        Require(UnreachableTimeout is null || (UnreachableTimeout > TimeSpan.Zero && UnreachableTimeout <= TimeSpan.FromDays(365)), owner,
            nameof(UnreachableTimeout), "is null, or above zero and at most 365 days");
        Require(SessionTimeout >= TimeSpan.FromSeconds(1) && SessionTimeout <= TimeSpan.FromMinutes(5), owner, nameof(SessionTimeout),
            "is 1 second to 5 minutes");
    }

    /// <summary>Refuses an option that is outside of its range.</summary>
    /// <param name="condition">Whether it is inside.</param>
    /// <param name="owner">The public options that it is part of.</param>
    /// <param name="option">Its name.</param>
    /// <param name="rule">What it is, as the end of a sentence.</param>
    /// <exception cref="ArgumentException">The condition does not hold.</exception>
    public static void Require(bool condition, string owner, string option, string rule)
    {
        if (!condition)
            throw new ArgumentException($"{owner}.{option} {rule}.", option);
    }
}
