namespace OrleansMq.Client;

/// <summary>Which records of a partition may be handled at the same time.</summary>
public enum HandlingParallelism
{
    /// <summary>One at a time, in order. Different partitions run in parallel.</summary>
    Partition = 0,
    /// <summary>Records of one key in order, different keys in parallel; records without a key in any order.</summary>
    Key = 1,
    /// <summary>In any order.</summary>
    Unordered = 2,
}

/// <summary>What happens to a record that cannot be handled.</summary>
public enum FailureAction
{
    /// <summary>The record is written to the dead-letter topic, and its partition continues.</summary>
    DeadLetter = 0,
    /// <summary>The record is logged and skipped: it is lost to this group.</summary>
    Skip = 1,
    /// <summary>The partition stops before the record. It stays assigned to this consumer until
    /// <see cref="MessageProcessor{TKey, TValue}.Resume"/> or a rebalance.</summary>
    StopPartition = 2,
}

/// <summary>How often a record is passed to its handler.</summary>
public sealed record RetryPolicy
{
    /// <summary>The total number of attempts: 5 by default, 1 or more.</summary>
    public int MaxAttempts { get; init; } = 5;

    /// <summary>The wait before the second attempt: 200 ms by default. It doubles with each attempt up to <see cref="MaxBackoff"/>, with a
    /// jitter of ±20 %.</summary>
    public TimeSpan Backoff { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>The longest wait between attempts: 10 s by default.</summary>
    public TimeSpan MaxBackoff { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Whether an exception is worth a retry; null retries every exception. If the check itself throws, the partition stops before
    /// the record.</summary>
    public Func<Exception, bool>? IsTransient { get; init; }

    /// <summary>Returns how long to wait after a failed attempt; null for no more attempts.</summary>
    /// <param name="attempt">The number of the failed attempt, from 1.</param>
    /// <param name="failure">The exception.</param>
    /// <param name="random">The jitter, from 0 to below 1.</param>
    internal TimeSpan? After(int attempt, Exception failure, double random) =>
        attempt >= MaxAttempts || IsTransient?.Invoke(failure) == false ? null : RetryBackoff.For(attempt, Backoff, MaxBackoff, random);
}

/// <summary>How records are handled.</summary>
public sealed record MessageHandlingOptions
{
    /// <summary>The topics, by name.</summary>
    public IReadOnlyList<string> Topics { get; init; } = [];

    /// <summary>Selects all topics whose whole name matches, instead of <see cref="Topics"/>; null for none.</summary>
    public string? TopicPattern { get; init; }

    /// <summary>Which records of a partition may be handled at the same time: one by default.</summary>
    public HandlingParallelism Parallelism { get; init; } = HandlingParallelism.Partition;

    /// <summary>The maximum number of concurrent calls per partition, if <see cref="Parallelism"/> allows more than one: 16 by default, 1
    /// to 10,000.</summary>
    public int MaxInFlightPerPartition { get; init; } = 16;

    /// <summary>How often a record is retried.</summary>
    public RetryPolicy Retry { get; init; } = new();

    /// <summary>What happens to a record that cannot be deserialized, or whose handler fails permanently: the dead-letter topic by
    /// default.</summary>
    public FailureAction OnFailure { get; init; } = FailureAction.DeadLetter;

    /// <summary>Returns the dead-letter topic of a topic: <c>orders.dead-letter</c> by default. It is created if missing, with as many
    /// partitions as its source.</summary>
    public Func<string, string> DeadLetterTopic { get; init; } = static topic => topic + DeadLetters.TopicSuffix;

    /// <summary>How dead letters are sent; null for the client's producer options.</summary>
    public ProducerOptions? DeadLetterProducer { get; init; }

    /// <summary>Called when a partition stops, with the reason: a record failed, or a dead letter could not be written. Keep it short. An
    /// exception is logged.</summary>
    public Action<TopicPartition, Exception>? PartitionStopped { get; init; }

    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        Require(Topics.Count > 0 ^ TopicPattern is not null, nameof(Topics), "or TopicPattern says what is read: one of the two");
        Require(MaxInFlightPerPartition is >= 1 and <= 10_000, nameof(MaxInFlightPerPartition), "is from 1 to 10000");
        Require(Retry.MaxAttempts >= 1, nameof(Retry), "has MaxAttempts of 1 or more");
        Require(Retry.Backoff > TimeSpan.Zero && Retry.MaxBackoff >= Retry.Backoff, nameof(Retry),
            "has a Backoff above zero and at most MaxBackoff");
        DeadLetterProducer?.Validate();
        Require(OnFailure != FailureAction.DeadLetter || DeadLetterProducer is not { Acks: Acks.None }, nameof(DeadLetterProducer),
            "waits for its acknowledgement: Acks.All, or Acks.Leader");
    }

    private static void Require(bool condition, string option, string rule)
    {
        if (!condition)
            throw new ArgumentException($"MessageHandlingOptions.{option} {rule}.", option);
    }
}
