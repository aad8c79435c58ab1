namespace OrleansMq.VirtualHosts;

/// <summary>What a queue does when it is full.</summary>
internal enum OverflowBehavior
{
    /// <summary>Drops the next message, or dead-letters it.</summary>
    DropHead,
    /// <summary>Refuses what is published.</summary>
    RejectPublish,
    /// <summary>Refuses what is published, and dead-letters it.</summary>
    RejectPublishDeadLetter,
}

/// <summary>Which returned messages wait before they are delivered again.</summary>
internal enum DelayedRetry
{
    /// <summary>None.</summary>
    Disabled,
    /// <summary>All.</summary>
    All,
    /// <summary>Those whose delivery count rose.</summary>
    Failed,
    /// <summary>Those whose delivery count did not rise.</summary>
    Returned,
}

/// <summary>
/// What a queue is configured with: its arguments and the policies that apply to it, merged. The operator's policy limits the other: the
/// lower number counts. Of an argument and a policy the lower number counts, too, and for dead letters the argument; for the overflow the
/// policy with a quorum queue, else the argument.
/// </summary>
internal sealed record QueueSettings
{
    /// <summary>How many returns a quorum queue allows a message if nothing sets it.</summary>
    public const int DefaultDeliveryLimit = 20;

    /// <summary>The settings that only lower a limit.</summary>
    private static readonly HashSet<string> Limits = new(StringComparer.Ordinal)
    {
        PolicyKeys.MessageTtl, PolicyKeys.Expires, PolicyKeys.MaxLength, PolicyKeys.MaxLengthBytes, PolicyKeys.DeliveryLimit,
        PolicyKeys.ConsumerTimeout,
    };

    /// <summary>The policy that applies; null for none.</summary>
    public string? Policy { get; private init; }

    /// <summary>The operator policy that applies; null for none.</summary>
    public string? OperatorPolicy { get; private init; }

    /// <summary>How long messages live; null for ever.</summary>
    public TimeSpan? MessageTtl { get; private init; }

    /// <summary>How long the queue lives without use; null for ever.</summary>
    public TimeSpan? Expires { get; private init; }

    /// <summary>The number of messages at which it overflows; null for no limit.</summary>
    public long? MaxLength { get; private init; }

    /// <summary>The bytes at which it overflows, or a stream drops its oldest messages; null for no limit.</summary>
    public long? MaxLengthBytes { get; private init; }

    /// <summary>What an overflow does.</summary>
    public OverflowBehavior Overflow { get; private init; }

    /// <summary>The exchange that takes dead letters; null drops them.</summary>
    public string? DeadLetterExchange { get; private init; }

    /// <summary>The routing key of dead letters; null keeps theirs.</summary>
    public string? DeadLetterRoutingKey { get; private init; }

    /// <summary>Whether a dead letter stays in the queue until it is confirmed elsewhere. Only a quorum queue that refuses publishes when
    /// it is full can.</summary>
    public bool DeadLettersAtLeastOnce { get; private init; }

    /// <summary>How often a message is returned before it is a dead letter; null for no limit.</summary>
    public long? DeliveryLimit { get; private init; }

    /// <summary>Whether one consumer at a time is served.</summary>
    public bool SingleActiveConsumer { get; private init; }

    /// <summary>The highest priority of a classic queue; null for no priorities.</summary>
    public int? MaxPriority { get; private init; }

    /// <summary>How long a consumer may hold a message; null for the broker's default.</summary>
    public TimeSpan? ConsumerTimeout { get; private init; }

    /// <summary>Which returned messages wait.</summary>
    public DelayedRetry DelayedRetry { get; private init; }

    /// <summary>The wait after the first return; it grows with each.</summary>
    public TimeSpan? DelayedRetryMin { get; private init; }

    /// <summary>The longest wait.</summary>
    public TimeSpan? DelayedRetryMax { get; private init; }

    /// <summary>How long a stream keeps messages; null for ever.</summary>
    public TimeSpan? MaxAge { get; private init; }

    /// <summary>Merges a queue's arguments with the policies that apply to it.</summary>
    public static QueueSettings Of(QueueState queue, Policy? policy, Policy? limits)
    {
        var merged = Merge(policy?.Definition ?? FieldTable.Empty, limits?.Definition ?? FieldTable.Empty);
        if (queue.Type == QueueType.Stream)
            merged = FieldTable.Of(merged.Fields.Where(field => field.Key is PolicyKeys.MaxAge or PolicyKeys.MaxLengthBytes));
        var arguments = queue.Arguments;
        var isQuorum = queue.Type == QueueType.Quorum;
        var overflow = (isQuorum ? merged.Text(PolicyKeys.Overflow) ?? arguments.Text(QueueArguments.Overflow)
            : arguments.Text(QueueArguments.Overflow) ?? merged.Text(PolicyKeys.Overflow)) switch
        {
            "reject-publish" => OverflowBehavior.RejectPublish,
            // A quorum queue does not know it, and does what it does without.
            "reject-publish-dlx" when !isQuorum => OverflowBehavior.RejectPublishDeadLetter,
            _ => OverflowBehavior.DropHead,
        };
        var delivery = Lower(arguments.Integer(QueueArguments.DeliveryLimit), merged.Integer(PolicyKeys.DeliveryLimit))
            ?? DefaultDeliveryLimit;
        return new QueueSettings
        {
            Policy = policy?.Name,
            OperatorPolicy = limits?.Name,
            MessageTtl = Time(QueueArguments.MessageTtl, PolicyKeys.MessageTtl),
            Expires = Time(QueueArguments.Expires, PolicyKeys.Expires),
            MaxLength = Lower(arguments.Integer(QueueArguments.MaxLength), merged.Integer(PolicyKeys.MaxLength)),
            MaxLengthBytes = Lower(arguments.Integer(QueueArguments.MaxLengthBytes), merged.Integer(PolicyKeys.MaxLengthBytes)),
            Overflow = overflow,
            DeadLetterExchange = Text(QueueArguments.DeadLetterExchange, PolicyKeys.DeadLetterExchange),
            DeadLetterRoutingKey = Text(QueueArguments.DeadLetterRoutingKey, PolicyKeys.DeadLetterRoutingKey),
            DeadLettersAtLeastOnce = isQuorum && overflow == OverflowBehavior.RejectPublish
                && Text(QueueArguments.DeadLetterStrategy, PolicyKeys.DeadLetterStrategy) == "at-least-once",
            DeliveryLimit = isQuorum && delivery >= 0 ? delivery : null,
            SingleActiveConsumer = arguments[QueueArguments.SingleActiveConsumer] is BooleanValue { Value: true },
            MaxPriority = queue.Type == QueueType.Classic ? (int?)arguments.Integer(QueueArguments.MaxPriority) : null,
            ConsumerTimeout = Time(QueueArguments.ConsumerTimeout, PolicyKeys.ConsumerTimeout),
            DelayedRetry = !isQuorum ? DelayedRetry.Disabled : Text(QueueArguments.DelayedRetryType, PolicyKeys.DelayedRetryType) switch
            {
                "all" => DelayedRetry.All,
                "failed" => DelayedRetry.Failed,
                "returned" => DelayedRetry.Returned,
                _ => DelayedRetry.Disabled,
            },
            DelayedRetryMin = Time(QueueArguments.DelayedRetryMin, PolicyKeys.DelayedRetryMin),
            DelayedRetryMax = Time(QueueArguments.DelayedRetryMax, PolicyKeys.DelayedRetryMax),
            MaxAge = Shorter(Age(arguments.Text(QueueArguments.MaxAge)), Age(merged.Text(PolicyKeys.MaxAge))),
        };

        TimeSpan? Time(string argument, string key) => Lower(arguments.Integer(argument), merged.Integer(key)) is { } milliseconds
            ? TimeSpan.FromMilliseconds(milliseconds) : null;

        string? Text(string argument, string key) => arguments.Text(argument) ?? merged.Text(key);
    }

    // The operator's limits lower those of the policy; of other settings the operator's counts.
    private static FieldTable Merge(FieldTable policy, FieldTable limits)
    {
        foreach (var (key, limit) in limits.Fields)
        {
            policy = policy.With(key, Limits.Contains(key) && Lower((policy[key] as IntegerValue)?.Value, (limit as IntegerValue)?.Value)
                is { } lower ? new IntegerValue(lower) : limit);
        }
        return policy;
    }

    // A negative number is no limit.
    private static long? Lower(long? one, long? other) => one is not { } first ? other : other is not { } second ? one
        : first < 0 || second < 0 ? Math.Max(first, second) : Math.Min(first, second);

    private static TimeSpan? Age(string? text) => text is null ? null : QueueArguments.ParseAge(text);

    private static TimeSpan? Shorter(TimeSpan? one, TimeSpan? other) => one is null || other < one ? other : one;
}
