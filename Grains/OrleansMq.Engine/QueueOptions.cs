namespace OrleansMq;

/// <summary>How a queue delivers its records.</summary>
public sealed record QueueOptions
{
    /// <summary>How often a record may fail before it is rejected, 1 to 1,000,000; 0, the default, for no limit. A consumer's failure, its
    /// death and the end of a lock count.</summary>
    public int MaxFailures { get; init; }

    /// <summary>How long a record waits after its first failure; zero by default. Each further failure doubles it.</summary>
    public TimeSpan RetryDelay { get; init; }

    /// <summary>The longest wait after a failure: 10 minutes by default. At most 24 days.</summary>
    public TimeSpan MaxRetryDelay { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Whether a record waits until every earlier one of its key is settled. Fixed at creation.</summary>
    public bool IsOrderedByKey { get; init; }

    /// <summary>Whether one consumer at a time receives; the next one does when it detaches. Fixed at creation.</summary>
    public bool IsSingleActiveConsumer { get; init; }
}
