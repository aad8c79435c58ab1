using OrleansMq.Api;

namespace OrleansMq.Client;

/// <summary>Options of a queue's consumer.</summary>
public sealed record QueueConsumerOptions
{
    /// <summary>The topic.</summary>
    public required string Topic { get; init; }

    /// <summary>The queue's name; the same in every partition of the topic.</summary>
    public required string Queue { get; init; }

    /// <summary>Creates the queue in each partition where it does not exist, with these options; one that exists keeps its own. The default
    /// has neither a limit of failures nor a delay nor a dead-letter topic: set <see cref="QueueOptions.MaxFailures"/>,
    /// <see cref="QueueOptions.RetryDelay"/> and <see cref="QueueOptions.DeadLetterTopic"/>. Null: it must exist, and a partition without
    /// it is looked at again later.</summary>
    public QueueOptions? Create { get; init; } = new();

    /// <summary>Where a queue that is created starts: the earliest record by default.</summary>
    public OffsetSpec Start { get; init; } = OffsetSpec.Earliest;

    /// <summary>The most messages of a partition that the consumer holds at once, received or waiting in it: 100 by default, 1 to
    /// 10,000.</summary>
    public int Credit { get; init; } = 100;

    /// <summary>Consumers with a higher one receive first; 0 by default.</summary>
    public int Priority { get; init; }

    /// <summary>How long a message is held before it goes back as failed, 1 second to a day; zero, the default: as long as the consumer
    /// lives. Messages that wait in the consumer, or whose handler runs, are renewed; those that were received are renewed by
    /// <see cref="QueueMessage{TKey, TValue}.RenewAsync"/>.</summary>
    public TimeSpan LockDuration { get; init; }

    /// <summary>How long after the consumer's death its messages go back: 1 second to 5 minutes, 30 seconds by default.</summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long one request waits for messages: 5 seconds by default, below <see cref="SessionTimeout"/>.</summary>
    public TimeSpan MaxWait { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>The wait before the first retry: 100 ms by default. It doubles up to <see cref="RetryBackoffMax"/>.</summary>
    public TimeSpan RetryBackoff { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>The longest wait between retries: 1 second by default.</summary>
    public TimeSpan RetryBackoffMax { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The interval at which the topic is checked for new partitions: 30 seconds by default.</summary>
    public TimeSpan MetadataMaxAge { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The clock: the system clock by default.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <inheritdoc cref="QueueAttachOptions.KeyRun"/>
    internal int KeyRun { get; init; } = 1;

    /// <summary>The only partition that is consumed; null: all.</summary>
    internal int? Partition { get; init; }

    /// <summary>The priority in a partition, asked for with each attachment; null: <see cref="Priority"/>.</summary>
    internal Func<TopicPartition, int>? PriorityOf { get; init; }

    /// <summary>Validates ranges and combinations.</summary>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        Require(!string.IsNullOrEmpty(Topic), nameof(Topic), "is not empty");
        Require(!string.IsNullOrEmpty(Queue), nameof(Queue), "is not empty");
        Require(Credit is >= 1 and <= 10_000, nameof(Credit), "is 1 to 10,000");
        Require(LockDuration == TimeSpan.Zero || (LockDuration >= TimeSpan.FromSeconds(1) && LockDuration <= TimeSpan.FromDays(1)),
            nameof(LockDuration), "is zero, or 1 second to a day");
        Require(SessionTimeout >= TimeSpan.FromSeconds(1) && SessionTimeout <= TimeSpan.FromMinutes(5), nameof(SessionTimeout),
            "is 1 second to 5 minutes");
        Require(MaxWait > TimeSpan.Zero && MaxWait < SessionTimeout, nameof(MaxWait), "is above zero and below SessionTimeout");
        Require(RetryBackoff > TimeSpan.Zero && RetryBackoffMax >= RetryBackoff, nameof(RetryBackoff),
            "is above zero and at most RetryBackoffMax");
        Require(MetadataMaxAge > TimeSpan.Zero, nameof(MetadataMaxAge), "is above zero");
    }

    private static void Require(bool condition, string option, string range)
    {
        if (!condition)
            throw new ArgumentException($"{nameof(QueueConsumerOptions)}.{option} {range}.");
    }
}
