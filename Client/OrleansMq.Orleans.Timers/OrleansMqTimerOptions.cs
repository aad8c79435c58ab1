using System.Collections.Immutable;
using System.Text.Json;
using OrleansMq.Client;
using OrleansMq.Consumers;

namespace OrleansMq.Timers;

/// <summary>Options of durable timers. Every silo and client of a cluster has the same.</summary>
public sealed record OrleansMqTimerOptions
{
    /// <summary>The topic of messages that are due: <c>grain-timers</c> by default. The first timer creates it. Whoever may write to it may
    /// send messages to grains.</summary>
    public string Topic { get; init; } = "grain-timers";

    /// <summary>The number of partitions with which the topic is created: 8 by default, 1 to 1,000.</summary>
    public int Partitions { get; init; } = 8;

    /// <summary>How often a message is tried before it is dead-lettered: 10 by default, 1 to 1,000. The death of a silo that delivers it
    /// counts as well; ten times as many deaths lead to a dead letter by themselves.</summary>
    public int MaxAttempts { get; init; } = 10;

    /// <summary>The wait after the first failure: 100 ms by default. Each further failure doubles it, up to
    /// <see cref="MaxRetryDelay"/>. Later messages of the grain wait; other grains continue.</summary>
    public TimeSpan RetryDelay { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>The longest wait after a failure: 1 minute by default, up to a day.</summary>
    public TimeSpan MaxRetryDelay { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>The most grains that a silo calls at once: 256 by default, 1 to 10,000.</summary>
    public int MaxInFlight { get; init; } = 256;

    /// <summary>The most messages of one grain that are on their way at once: 100 by default, 1 to 1,000. The grain receives them one at a
    /// time.</summary>
    public int MaxBatch { get; init; } = 100;

    /// <summary>The most messages of a partition that a silo holds: 400 by default, 1 to 10,000.</summary>
    public int Credit { get; init; } = 400;

    /// <summary>Whether a grain whose method threw is deactivated before the message comes again: true by default. The next attempt then
    /// begins with the stored state.</summary>
    public bool DeactivateOnFailure { get; init; } = true;

    /// <summary>How long messages wait for a grain class, or for a handler of their type, that no silo has: 10 minutes by default, up to
    /// 30 days. After it they are dead-lettered.</summary>
    public TimeSpan MissingClassTimeout { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>How long a message waits for a grain that is not reached, such as one whose activation fails: 7 days by default, up to 365,
    /// and at least <see cref="MissingClassTimeout"/>; null: for ever. After it the message is dead-lettered with the cause. Its age and
    /// the waits between its deliveries are both that long then. So no message ends at its first delivery, and a restart of silos begins
    /// nothing anew.</summary>
    public TimeSpan? UnreachableTimeout { get; init; } = DeliveryOptions.DefaultUnreachableTimeout;

    /// <summary>How long after the death of a silo the messages that it held are delivered by another: 10 seconds by default, 1 second to 5
    /// minutes.</summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How a silo looks for the topic, and for its dead-letter topic: every second by default, up to an hour.</summary>
    public TimeSpan RefreshInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How messages are written and read that have neither a format of <see cref="Serdes"/> nor one of
    /// <see cref="WithMessages{T}"/>: <see cref="JsonSerializerOptions.Web"/> by default.</summary>
    public JsonSerializerOptions Json { get; init; } = JsonSerializerOptions.Web;

    /// <summary>Writes and reads messages of a type by a format of its own.</summary>
    /// <param name="format">The format. Thread-safe. Where it cannot read a message, that is dead-lettered at once, with the exception's
    /// message.</param>
    public OrleansMqTimerOptions WithMessages<T>(ISerde<T> format)
    {
        ArgumentNullException.ThrowIfNull(format);
        return this with { Formats = Formats.SetItem(typeof(T), format) };
    }

    internal ImmutableDictionary<Type, object> Formats { get; private init; } = ImmutableDictionary<Type, object>.Empty;

    /// <summary>How long a call waits at its grain for an earlier one. The rest of the time that a call may take is for messages.</summary>
    internal TimeSpan TurnTimeout { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>How long a call may take at its grain before its token is cancelled: its answer comes before the caller times
    /// out.</summary>
    internal TimeSpan WorkTimeout { get; init; } = TimeSpan.FromSeconds(295);

    /// <summary>How long a call has no answer before its grain is asked about it, and asked again.</summary>
    internal TimeSpan AskInterval { get; init; } = LostCalls.DefaultInterval;

    /// <summary>What they say of calls at their grain.</summary>
    internal TurnOptions Turns => new(TurnTimeout, WorkTimeout, DeactivateOnFailure);

    /// <summary>How long a call is repeated while brokers do not answer.</summary>
    internal TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>What they say of deliveries.</summary>
    internal DeliveryOptions Delivery => new()
    {
        MaxAttempts = MaxAttempts,
        RetryDelay = RetryDelay,
        MaxRetryDelay = MaxRetryDelay,
        MaxInFlight = MaxInFlight,
        MaxBatch = MaxBatch,
        Credit = Credit,
        // A class of another version, which does not handle the message, has its own time.
        UnreachableTimeout = UnreachableTimeout < MissingClassTimeout ? MissingClassTimeout : UnreachableTimeout,
        SessionTimeout = SessionTimeout,
    };

    /// <summary>Validates the options.</summary>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        Require(IsTopic(Topic), nameof(Topic), "is 1 to 200 of a-z A-Z 0-9 . _ -, and not '.' or '..' or internal");
        Require(Partitions is >= 1 and <= 1_000, nameof(Partitions), "is 1 to 1,000");
        Delivery.Validate(nameof(OrleansMqTimerOptions));
        Require(MissingClassTimeout > TimeSpan.Zero && MissingClassTimeout <= TimeSpan.FromDays(30), nameof(MissingClassTimeout),
            "is above zero and at most 30 days");
        Require(RefreshInterval > TimeSpan.Zero && RefreshInterval <= TimeSpan.FromHours(1), nameof(RefreshInterval),
            "is above zero and at most an hour");
        Require(Json is not null, nameof(Json), "is not null");
    }

    // Room for the suffix of the dead-letter topic. Schedules refuse internal topics.
    private static bool IsTopic(string? topic)
    {
        const int MaxLength = 200;
        return topic is { Length: >= 1 and <= MaxLength } and not ("." or "..") && !Topics.InternalTopics.IsInternal(topic)
            && topic.All(static one => char.IsAsciiLetterOrDigit(one) || one is '.' or '_' or '-');
    }

    private static void Require(bool condition, string option, string rule) =>
        DeliveryOptions.Require(condition, nameof(OrleansMqTimerOptions), option, rule);
}
