namespace OrleansMq.Client;

/// <summary>Options of a broadcast subscription.</summary>
public sealed record BroadcastOptions
{
    /// <summary>The topic, which must exist.</summary>
    public required string Topic { get; init; }

    /// <summary>How often a message is passed to its handler: 5 attempts by default. Afterwards it is logged, counted and
    /// skipped.</summary>
    public RetryPolicy Retry { get; init; } = new();

    /// <summary>Which messages of a partition may be handled at the same time: one by default.</summary>
    public HandlingParallelism Parallelism { get; init; } = HandlingParallelism.Partition;

    /// <summary>The maximum number of concurrent calls per partition, if <see cref="Parallelism"/> allows more than one: 16 by default, 1
    /// to 10,000.</summary>
    public int MaxInFlightPerPartition { get; init; } = 16;

    /// <summary>How long the end waits for calls in progress before their tokens are cancelled: 10 seconds by default.</summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How often new partitions are looked for, which are read from their first message: 30 seconds by default.</summary>
    public TimeSpan MetadataMaxAge { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How messages are read; null for the client's reader options.</summary>
    public ReaderOptions? Reader { get; init; }

    /// <summary>Validates the options.</summary>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        if (string.IsNullOrEmpty(Topic))
            throw new ArgumentException("BroadcastOptions.Topic is not empty.", nameof(Topic));
        ConsumerOptionsWith(null).Validate();
        HandlingOptions.Validate();
    }

    /// <summary>How the consumer reads.</summary>
    /// <param name="outOfRange">Chooses where reading goes on.</param>
    internal ConsumerOptions ConsumerOptionsWith(Func<OffsetOutOfRangeException, ReadFrom?>? outOfRange) => new()
    {
        AutoOffsetReset = AutoOffsetReset.Latest,
        Broadcast = true,
        DrainTimeout = DrainTimeout,
        MetadataMaxAge = MetadataMaxAge,
        OutOfRange = outOfRange,
        Reader = Reader,
    };

    /// <summary>How messages are handled.</summary>
    internal MessageHandlingOptions HandlingOptions => new()
    {
        Topics = [Topic],
        Retry = Retry,
        Parallelism = Parallelism,
        MaxInFlightPerPartition = MaxInFlightPerPartition,
        OnFailure = FailureAction.Skip,
    };
}
