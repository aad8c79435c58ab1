using System.Globalization;

namespace OrleansMq.VirtualHosts;

/// <summary>The arguments of queues: which types know them, and which values they may have.</summary>
internal static class QueueArguments
{
    /// <summary>The argument with the queue's type.</summary>
    public const string Type = "x-queue-type";
    /// <summary>How long the queue lives without use, in milliseconds.</summary>
    public const string Expires = "x-expires";
    /// <summary>How long messages live, in milliseconds.</summary>
    public const string MessageTtl = "x-message-ttl";
    /// <summary>The exchange that takes dead letters.</summary>
    public const string DeadLetterExchange = "x-dead-letter-exchange";
    /// <summary>The routing key of dead letters.</summary>
    public const string DeadLetterRoutingKey = "x-dead-letter-routing-key";
    /// <summary>How dead letters are published.</summary>
    public const string DeadLetterStrategy = "x-dead-letter-strategy";
    /// <summary>The number of messages at which the queue overflows.</summary>
    public const string MaxLength = "x-max-length";
    /// <summary>The bytes at which the queue overflows.</summary>
    public const string MaxLengthBytes = "x-max-length-bytes";
    /// <summary>The highest priority.</summary>
    public const string MaxPriority = "x-max-priority";
    /// <summary>What an overflow does.</summary>
    public const string Overflow = "x-overflow";
    /// <summary>Whether one consumer at a time is served.</summary>
    public const string SingleActiveConsumer = "x-single-active-consumer";
    /// <summary>How often a message is returned before it is a dead letter.</summary>
    public const string DeliveryLimit = "x-delivery-limit";
    /// <summary>How long a consumer may hold a message, in milliseconds.</summary>
    public const string ConsumerTimeout = "x-consumer-timeout";
    /// <summary>Which returned messages wait.</summary>
    public const string DelayedRetryType = "x-delayed-retry-type";
    /// <summary>The shortest wait, in milliseconds.</summary>
    public const string DelayedRetryMin = "x-delayed-retry-min";
    /// <summary>The longest wait, in milliseconds.</summary>
    public const string DelayedRetryMax = "x-delayed-retry-max";
    /// <summary>How long a stream keeps messages: a number and a unit of Y, M, D, h, m, s.</summary>
    public const string MaxAge = "x-max-age";
    /// <summary>The size at which a stream begins another segment, in bytes.</summary>
    public const string MaxSegmentBytes = "x-stream-max-segment-size-bytes";

    /// <summary>The longest time, in milliseconds: ten years.</summary>
    public const long MaxExpiry = 315_360_000_000;

    private const int MaxMaxPriority = 255;
    private const QueueTypes Queues = QueueTypes.Classic | QueueTypes.Quorum;

    private static readonly Dictionary<string, (QueueTypes Types, Func<FieldValue, FieldTable, string?> Check)> Known = new()
    {
        [Type] = (QueueTypes.All, Text),
        [Expires] = (Queues, ExpiryAboveZero),
        [MessageTtl] = (Queues, Expiry),
        [DeadLetterExchange] = (Queues, Text),
        [DeadLetterRoutingKey] = (Queues, (value, all) => Text(value, all)
            ?? (all[DeadLetterExchange] is null ? "routing_key_but_no_dlx_defined" : null)
            ?? (ResourceNames.FaultOf("the routing key", ((TextValue)value).Value) is { } tooLong ? $"\"{tooLong.Text}\"" : null)),
        [DeadLetterStrategy] = (QueueTypes.Quorum, (value, all) => OneOf(value, "invalid_dlx_strategy", "at-most-once", "at-least-once")),
        [MaxLength] = (Queues, NotNegative),
        [MaxLengthBytes] = (QueueTypes.All, NotNegative),
        [MaxPriority] = (QueueTypes.Classic, Priority),
        [Overflow] = (Queues, (value, all) => OneOf(value, "invalid_overflow", "drop-head", "reject-publish", "reject-publish-dlx")),
        [SingleActiveConsumer] = (Queues, Boolean),
        [DeliveryLimit] = (QueueTypes.Quorum, (value, all) => Integer(value, out _)),
        [ConsumerTimeout] = (Queues, Expiry),
        [DelayedRetryType] = (QueueTypes.Quorum,
            (value, all) => OneOf(value, "invalid_delayed_retry_type", "disabled", "all", "failed", "returned")),
        [DelayedRetryMin] = (QueueTypes.Quorum, Expiry),
        [DelayedRetryMax] = (QueueTypes.Quorum, Expiry),
        [MaxAge] = (QueueTypes.Stream, Age),
        [MaxSegmentBytes] = (QueueTypes.Stream, NotNegative),
        ["x-stream-filter-size-bytes"] = (QueueTypes.Stream, NotNegative),
        ["x-initial-cluster-size"] = (QueueTypes.Stream, NotNegative),
        ["x-quorum-initial-group-size"] = (QueueTypes.Quorum, NotNegative),
        ["x-queue-leader-locator"] = (QueueTypes.All, (value, all) => Text(value, all)),
    };

    [Flags]
    private enum QueueTypes
    {
        Classic = 1,
        Quorum = 2,
        Stream = 4,
        All = 7,
    }

    /// <summary>Reads a queue's type from its arguments.</summary>
    /// <returns>Null if the arguments name a type that is unknown.</returns>
    public static QueueType? TypeOf(FieldTable arguments) => arguments[Type] switch
    {
        null => QueueType.Classic,
        TextValue { Value: "classic" } => QueueType.Classic,
        TextValue { Value: "quorum" } => QueueType.Quorum,
        TextValue { Value: "stream" } => QueueType.Stream,
        _ => null,
    };

    /// <summary>Returns a type's name in arguments and definitions.</summary>
    public static string NameOf(QueueType type) => type switch
    {
        QueueType.Quorum => "quorum",
        QueueType.Stream => "stream",
        _ => "classic",
    };

    /// <summary>Checks the arguments of a new queue.</summary>
    /// <param name="resource">The queue in refusals.</param>
    /// <param name="arguments">The arguments.</param>
    public static AmqpRefusal? Check(string resource, FieldTable arguments)
    {
        if (TypeOf(arguments) is not { } type)
            return Invalid(resource, Type, arguments[Type] is TextValue text
                ? $"\"unsupported queue type '{text.Value}'\"" : Unacceptable(arguments[Type]!));
        foreach (var (name, value) in arguments.Fields)
        {
            if (!Known.TryGetValue(name, out var known))
                continue;
            if (!known.Types.HasFlag(FlagOf(type)))
                return AmqpRefusal.Precondition($"invalid arg '{name}' for {resource} of queue type rabbit_{NameOf(type)}_queue");
            if (known.Check(value, arguments) is { } fault)
                return Invalid(resource, name, fault);
        }
        return null;
    }

    /// <summary>Compares the arguments of a declaration with those of the queue that exists. Only those that the queue's type knows are
    /// compared; a missing type is <c>classic</c>.</summary>
    public static AmqpRefusal? Compare(string resource, QueueType type, FieldTable received, FieldTable current)
    {
        foreach (var name in received.Fields.Keys.Union(current.Fields.Keys).Order(StringComparer.Ordinal))
        {
            if (!Known.TryGetValue(name, out var known) || !known.Types.HasFlag(FlagOf(type)))
                continue;
            var (now, before) = (received[name], current[name]);
            if (name == Type && TypeOf(received) is { } asked && asked == TypeOf(current))
                continue;
            if (Equivalence.Argument(resource, name, now, before) is { } different)
                return different;
        }
        return null;
    }

    private static AmqpRefusal Invalid(string resource, string argument, string fault) =>
        AmqpRefusal.Precondition($"invalid arg '{argument}' for {resource}: {fault}");

    private static QueueTypes FlagOf(QueueType type) => type switch
    {
        QueueType.Quorum => QueueTypes.Quorum,
        QueueType.Stream => QueueTypes.Stream,
        _ => QueueTypes.Classic,
    };

    private static string Unacceptable(FieldValue value) => $"{{unacceptable_type,{value.TypeName}}}";

    private static string? Text(FieldValue value, FieldTable all) => value is TextValue ? null : Unacceptable(value);

    private static string? Boolean(FieldValue value, FieldTable all) => value is BooleanValue ? null : Unacceptable(value);

    private static string? OneOf(FieldValue value, string fault, params ReadOnlySpan<string> allowed) =>
        value is not TextValue text ? Unacceptable(value) : allowed.Contains(text.Value) ? null : fault;

    private static string? Integer(FieldValue value, out long number)
    {
        number = (value as IntegerValue)?.Value ?? 0;
        return value is IntegerValue ? null : $"\"expected integer, got {value.TypeName}\"";
    }

    private static string? NotNegative(FieldValue value, FieldTable all) =>
        Integer(value, out var number) ?? (number < 0 ? Number("value_negative", number) : null);

    private static string? Expiry(FieldValue value, FieldTable all) =>
        NotNegative(value, all)
            ?? (Integer(value, out var number) is null && number > MaxExpiry ? Number("value_too_large", number) : null);

    private static string? ExpiryAboveZero(FieldValue value, FieldTable all) =>
        Expiry(value, all) ?? (Integer(value, out var number) is null && number == 0 ? Number("value_zero", 0) : null);

    private static string? Priority(FieldValue value, FieldTable all) => NotNegative(value, all)
        ?? (Integer(value, out var number) is null && number > MaxMaxPriority ? Number("max_value_exceeded", number) : null);

    private static string? Age(FieldValue value, FieldTable all) =>
        value is not TextValue text ? Unacceptable(value) : ParseAge(text.Value) is null ? "invalid_max_age" : null;

    private static string Number(string fault, long number) => string.Create(CultureInfo.InvariantCulture, $"{{{fault},{number}}}");

    /// <summary>Reads an age such as <c>7D</c>; null if it is none.</summary>
    public static TimeSpan? ParseAge(string text)
    {
        if (text.Length < 2
            || !int.TryParse(text.AsSpan(0, text.Length - 1), NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            return null;
        var unit = text[^1] switch
        {
            'Y' => TimeSpan.FromDays(365),
            'M' => TimeSpan.FromDays(30),
            'D' => TimeSpan.FromDays(1),
            'h' => TimeSpan.FromHours(1),
            'm' => TimeSpan.FromMinutes(1),
            's' => TimeSpan.FromSeconds(1),
            _ => TimeSpan.Zero,
        };
        return unit == TimeSpan.Zero || number > TimeSpan.MaxValue / unit ? null : unit * number;
    }
}
