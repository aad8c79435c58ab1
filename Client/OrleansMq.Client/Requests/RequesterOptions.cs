namespace OrleansMq.Client;

/// <summary>Options of a requester.</summary>
public sealed record RequesterOptions
{
    /// <summary>The longest time a request may wait for its reply.</summary>
    internal static readonly TimeSpan MaxTimeout = TimeSpan.FromDays(1);

    /// <summary>The topic of requests, which must exist.</summary>
    public required string Topic { get; init; }

    /// <summary>The topic of replies, which must exist. Requesters share it, and those of other request topics may. Give it a short
    /// retention (<c>retention.ms</c>, above the longest timeout), and no compaction.</summary>
    public required string ReplyTopic { get; init; }

    /// <summary>The partition of <see cref="ReplyTopic"/> that this requester reads; null for one at random.</summary>
    public int? ReplyPartition { get; init; }

    /// <summary>How long a request waits for its reply unless the call says otherwise: 30 seconds by default, above zero and at most a
    /// day.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How requests are sent; null for the client's producer options. Its clock is the one of deadlines.</summary>
    public ProducerOptions? Producer { get; init; }

    /// <summary>How replies are read; null for the client's reader options. Their prefetch is 1 MiB unless this is set.</summary>
    public ReaderOptions? Reader { get; init; }

    /// <summary>How often the requester looks whether the reply topic is still the one whose end it has read.</summary>
    internal TimeSpan TopicCheckInterval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Validates the options.</summary>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        Require(!string.IsNullOrEmpty(Topic), nameof(Topic), "is not empty");
        Require(!string.IsNullOrEmpty(ReplyTopic), nameof(ReplyTopic), "is not empty");
        Require(ReplyTopic != Topic, nameof(ReplyTopic), "is another topic than Topic");
        Require(ReplyPartition is null or >= 0, nameof(ReplyPartition), "is null, or 0 or above");
        Require(IsTimeout(Timeout), nameof(Timeout), "is above zero and at most a day");
        Producer?.Validate();
        Require(Producer is not { Acks: Acks.None }, nameof(Producer), "waits for an acknowledgement: Acks.All, or Acks.Leader");
        Reader?.Validate();
    }

    /// <summary>Whether a request may wait for so long.</summary>
    internal static bool IsTimeout(TimeSpan timeout) => timeout > TimeSpan.Zero && timeout <= MaxTimeout;

    private static void Require(bool condition, string option, string rule)
    {
        if (!condition)
            throw new ArgumentException($"RequesterOptions.{option} {rule}.", option);
    }
}
