using OrleansMq.Consumers;

namespace OrleansMq.Streams;

/// <summary>Options of a stream provider. Every silo and client of a cluster gives a provider the same options.</summary>
public sealed record OrleansMqStreamOptions
{
    private const int MaxNameLength = 100;

    private static readonly TimeSpan ShortestSplit = TimeSpan.FromMilliseconds(10);

    /// <summary>The format of events: the formats of the .NET client for text, bytes, numbers and UUIDs, and JSON for every other type, by
    /// default. See <see cref="StreamFormat"/>.</summary>
    public StreamFormat Format { get; init; } = StreamFormat.Json();

    /// <summary>How often an event is tried before it is dead-lettered: 10 by default, 1 to 1,000. The death of a silo that delivers it
    /// counts as well; ten times as many deaths lead to a dead letter by themselves.</summary>
    public int MaxAttempts { get; init; } = 10;

    /// <summary>The wait after the first failure: 100 ms by default. Each further failure doubles it, up to
    /// <see cref="MaxRetryDelay"/>. Later events of the stream wait; other streams continue.</summary>
    public TimeSpan RetryDelay { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>The longest wait after a failure: 1 minute by default, up to a day.</summary>
    public TimeSpan MaxRetryDelay { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>The most streams whose events a silo delivers at once for one grain class, or for the explicit subscriptions of one topic:
    /// 256 by default, 1 to 10,000.</summary>
    public int MaxInFlight { get; init; } = 256;

    /// <summary>The most events of one stream in one call of a grain, and on their way at once: 100 by default, 1 to 1,000. An observer of
    /// batches receives up to that many. Those after an event that fails are delivered again behind it.</summary>
    public int MaxBatch { get; init; } = 100;

    /// <summary>The most events of a partition that a silo holds for one grain class, or for the explicit subscriptions of one topic: 400
    /// by default, 1 to 10,000. Half of it is kept for the first events of further streams.</summary>
    public int Credit { get; init; } = 400;

    /// <summary>How long an explicit subscription may hold back the others of its stream: 1 second by default, 10 ms to 5 minutes. One that
    /// has not handled an event by then, after others have, continues from that event on its own, and the others go on. It joins them
    /// again when it has caught up, ten times that later at the earliest.</summary>
    public TimeSpan SplitAfter { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The most explicit subscriptions of a topic that continue on their own at once: 100 by default, 0 to 1,000. Each takes a
    /// queue. Further ones hold the others of their stream, with a warning in the log; 0: all do.</summary>
    public int MaxSplits { get; init; } = 100;

    /// <summary>The most activations of a silo that are replayed at once from a token to a subscription by attribute: 64 by default, 1 to
    /// 10,000. Each reads its partition and holds up to 512 KiB of it. Further ones take their turn; their events wait.</summary>
    public int MaxReplays { get; init; } = 64;

    /// <summary>How long an event waits for a grain that is not reached, such as one whose activation fails: 7 days by default, up to 365;
    /// null: for ever. After it the event is dead-lettered with the cause. Its age and the waits between its deliveries are both that
    /// long then. So no event ends at its first delivery, and a restart of silos begins nothing anew.</summary>
    public TimeSpan? UnreachableTimeout { get; init; } = DeliveryOptions.DefaultUnreachableTimeout;

    /// <summary>How long after the death of a silo the events that it held are delivered by another: 10 seconds by default, 1 second to 5
    /// minutes.</summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long events wait for a subscriber whose grain class no silo has, before they are dead-lettered: 10 minutes by default,
    /// up to a day. A class that was renamed or removed leaves its subscriptions behind.</summary>
    public TimeSpan MissingClassTimeout { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>How often the silo looks for new topics, grain classes and subscriptions: every second by default, up to an hour.</summary>
    public TimeSpan RefreshInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Whether a topic is created when a stream of it is first used: true by default. It has the broker's defaults, and
    /// <c>retention.until.settled=true</c>: it keeps an event until every subscriber has had it. Set that for topics that are created
    /// otherwise, too. The queue of a grain class that is gone, <c>streams:PROVIDER:CLASS</c>, then holds the topic: delete it, for example
    /// with <c>omq queue delete</c>.</summary>
    public bool CreateTopics { get; init; } = true;

    /// <summary>What the names of the provider's topics begin with: empty by default, which is every topic. Where a cluster has several
    /// providers, no topic is of two: grain classes would receive its events once from each.</summary>
    public string TopicPrefix { get; init; } = "";

    /// <summary>How long the start of a silo waits for the configuration of the topic with explicit subscriptions. Brokers may start later
    /// than the silo, which then checks before it reads the topic.</summary>
    internal TimeSpan CheckTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a call has no answer before its grain is asked about it, and asked again.</summary>
    internal TimeSpan AskInterval { get; init; } = LostCalls.DefaultInterval;

    /// <summary>What they say of deliveries.</summary>
    internal DeliveryOptions Delivery => new()
    {
        MaxAttempts = MaxAttempts,
        RetryDelay = RetryDelay,
        MaxRetryDelay = MaxRetryDelay,
        MaxInFlight = MaxInFlight,
        MaxBatch = MaxBatch,
        Credit = Credit,
        UnreachableTimeout = UnreachableTimeout,
        SessionTimeout = SessionTimeout,
        CreateTopics = CreateTopics,
    };

    /// <summary>Validates the options and the provider's name.</summary>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate(string name)
    {
        if (name.Length is 0 or > MaxNameLength || !name.All(static c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-'))
        {
            throw new ArgumentException($"The name of a stream provider is 1 to {MaxNameLength} of a-z A-Z 0-9 . _ -, since it is part of "
                + $"a topic's name: '{name}'.", nameof(name));
        }
        Require(Format is not null, nameof(Format), "is not null");
        Delivery.Validate(nameof(OrleansMqStreamOptions));
        Require(MissingClassTimeout > TimeSpan.Zero && MissingClassTimeout <= TimeSpan.FromDays(1), nameof(MissingClassTimeout),
            "is above zero and at most a day");
        Require(SplitAfter >= ShortestSplit && SplitAfter <= TimeSpan.FromMinutes(5), nameof(SplitAfter), "is 10 ms to 5 minutes");
        Require(MaxSplits is >= 0 and <= 1_000, nameof(MaxSplits), "is 0 to 1,000");
        Require(MaxReplays is >= 1 and <= 10_000, nameof(MaxReplays), "is 1 to 10,000");
        Require(RefreshInterval > TimeSpan.Zero && RefreshInterval <= TimeSpan.FromHours(1), nameof(RefreshInterval),
            "is above zero and at most an hour");
        Require(TopicPrefix is not null, nameof(TopicPrefix), "is not null");
    }

    private static void Require(bool condition, string option, string rule) =>
        DeliveryOptions.Require(condition, nameof(OrleansMqStreamOptions), option, rule);
}
