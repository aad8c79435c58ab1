using System.Collections.Immutable;
using System.Text.Json;
using OrleansMq.Client;

namespace OrleansMq.Consumers;

/// <summary>What a silo does at its start with a class whose topic does not exist.</summary>
public enum MissingTopic
{
    /// <summary>Never used.</summary>
    Unknown = 0,
    /// <summary>The start fails, with an error that names class and topic.</summary>
    Fail = 1,
    /// <summary>The topic is created, with the broker's defaults and <c>retention.until.settled=true</c>.</summary>
    Create = 2,
    /// <summary>The silo starts, and consumes the topic when it exists.</summary>
    Wait = 3,
}

/// <summary>Options of grain consumers. Every silo of a cluster has the same.</summary>
public sealed record OrleansMqConsumerOptions
{
    /// <summary>How often a record is tried before it is dead-lettered: 10 by default, 1 to 1,000. The death of a silo that delivers it
    /// counts as well; ten times as many deaths lead to a dead letter by themselves.</summary>
    public int MaxAttempts { get; init; } = 10;

    /// <summary>The wait after the first failure: 100 ms by default. Each further failure doubles it, up to
    /// <see cref="MaxRetryDelay"/>. Later records of the key wait; other keys continue.</summary>
    public TimeSpan RetryDelay { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>The longest wait after a failure: 1 minute by default, up to a day.</summary>
    public TimeSpan MaxRetryDelay { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>The most grains of a class that a silo calls at once for one topic: 256 by default, 1 to 10,000.</summary>
    public int MaxInFlight { get; init; } = 256;

    /// <summary>The most records of one key that are on their way at once: 100 by default, 1 to 1,000. The grain receives them one at a
    /// time. Those after one that fails are delivered again behind it.</summary>
    public int MaxBatch { get; init; } = 100;

    /// <summary>The most records of a partition that a silo holds for one class: 400 by default, 1 to 10,000. Half of it is kept for the
    /// first records of further keys.</summary>
    public int Credit { get; init; } = 400;

    /// <summary>The most activations of a class that consuming leaves on a silo; null, the default: any number. Above it, the one that has
    /// had no record for the longest time is deactivated; those that consume at the moment stay. Without a limit Orleans' collection age
    /// decides.</summary>
    public int? MaxActivations { get; init; }

    /// <summary>Whether a grain whose method threw is deactivated before the record comes again: true by default. The next attempt then
    /// begins with the stored state, also where the state in memory was changed and could not be written. Without it a record may be taken
    /// for processed whose effect is not stored.</summary>
    public bool DeactivateOnFailure { get; init; } = true;

    /// <summary>Whether the silo that leads a partition delivers its records while it has room, and other silos the rest: true by default.
    /// False: all silos with the class deliver alike.</summary>
    public bool PreferLeader { get; init; } = true;

    /// <summary>How long a record waits for a grain that is not reached, such as one whose activation fails: 7 days by default, up to 365;
    /// null: for ever. After it the record is dead-lettered with the cause. Its age and the waits between its deliveries are both that
    /// long then. So no record ends at its first delivery, and a restart of silos begins nothing anew.</summary>
    public TimeSpan? UnreachableTimeout { get; init; } = DeliveryOptions.DefaultUnreachableTimeout;

    /// <summary>How long after the death of a silo the records that it held are delivered by another: 10 seconds by default, 1 second to 5
    /// minutes.</summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>What the start does where a topic does not exist: it fails by default. Where silos are the brokers, their first start needs
    /// <c>Wait</c> or <c>Create</c>: no topic exists yet.</summary>
    public MissingTopic MissingTopic { get; init; } = MissingTopic.Fail;

    /// <summary>How long the start waits for brokers that do not answer: 30 seconds by default, up to an hour. After it the silo starts,
    /// logs a warning, and consumes when they do.</summary>
    public TimeSpan StartTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How often the silo looks for topics that did not exist, and for dead-letter topics: every second by default, up to an
    /// hour.</summary>
    public TimeSpan RefreshInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How values are read that have neither a format of <see cref="Serdes"/> nor one of <see cref="WithValues{T}"/>:
    /// <see cref="JsonSerializerOptions.Web"/> by default.</summary>
    public JsonSerializerOptions Json { get; init; } = JsonSerializerOptions.Web;

    /// <summary>Reads values of a type by a format of its own.</summary>
    /// <param name="deserializer">The format. Thread-safe. Any exception dead-letters the record at once, with the exception's
    /// message.</param>
    public OrleansMqConsumerOptions WithValues<T>(IDeserializer<T> deserializer)
    {
        ArgumentNullException.ThrowIfNull(deserializer);
        return this with { Formats = Formats.SetItem(typeof(T), deserializer) };
    }

    internal ImmutableDictionary<Type, object> Formats { get; private init; } = ImmutableDictionary<Type, object>.Empty;

    /// <summary>Which classes this silo serves; null: all that it hosts and that consume.</summary>
    internal Func<Type, bool>? Serves { get; init; }

    /// <summary>How long a call waits at its grain for an earlier one. The rest of the time that a call may take is for records.</summary>
    internal TimeSpan TurnTimeout { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>How long a call may take at its grain before its token is cancelled: its answer comes before the caller times
    /// out.</summary>
    internal TimeSpan WorkTimeout { get; init; } = TimeSpan.FromSeconds(295);

    /// <summary>How long a call has no answer before its grain is asked about it, and asked again.</summary>
    internal TimeSpan AskInterval { get; init; } = LostCalls.DefaultInterval;

    /// <summary>What they say of calls at their grain.</summary>
    internal TurnOptions Turns => new(TurnTimeout, WorkTimeout, DeactivateOnFailure);

    /// <summary>What they say of deliveries.</summary>
    /// <param name="maxAttempts">How often a record is tried.</param>
    internal DeliveryOptions DeliveryOf(int maxAttempts) => new()
    {
        MaxAttempts = maxAttempts,
        RetryDelay = RetryDelay,
        MaxRetryDelay = MaxRetryDelay,
        MaxInFlight = MaxInFlight,
        MaxBatch = MaxBatch,
        Credit = Credit,
        UnreachableTimeout = UnreachableTimeout,
        SessionTimeout = SessionTimeout,
        CreateTopics = MissingTopic == MissingTopic.Create,
    };

    /// <summary>Validates the options.</summary>
    /// <exception cref="ArgumentException">The message names the option and the allowed range.</exception>
    internal void Validate()
    {
        DeliveryOf(MaxAttempts).Validate(nameof(OrleansMqConsumerOptions));
        Require(MaxActivations is null or >= 1, nameof(MaxActivations), "is null, or 1 or above");
        Require(MissingTopic is MissingTopic.Fail or MissingTopic.Create or MissingTopic.Wait, nameof(MissingTopic),
            "is Fail, Create or Wait");
        Require(StartTimeout >= TimeSpan.Zero && StartTimeout <= TimeSpan.FromHours(1), nameof(StartTimeout), "is zero to an hour");
        Require(RefreshInterval > TimeSpan.Zero && RefreshInterval <= TimeSpan.FromHours(1), nameof(RefreshInterval),
            "is above zero and at most an hour");
        Require(Json is not null, nameof(Json), "is not null");
    }

    private static void Require(bool condition, string option, string rule) =>
        DeliveryOptions.Require(condition, nameof(OrleansMqConsumerOptions), option, rule);
}
