namespace OrleansMq.VirtualHosts;

/// <summary>The settings that policies can have.</summary>
internal static class PolicyKeys
{
    /// <summary>How long messages live, in milliseconds.</summary>
    public const string MessageTtl = "message-ttl";
    /// <summary>How long a queue lives without use, in milliseconds.</summary>
    public const string Expires = "expires";
    /// <summary>The number of messages at which a queue overflows.</summary>
    public const string MaxLength = "max-length";
    /// <summary>The bytes at which a queue overflows.</summary>
    public const string MaxLengthBytes = "max-length-bytes";
    /// <summary>What an overflow does.</summary>
    public const string Overflow = "overflow";
    /// <summary>The exchange that takes dead letters.</summary>
    public const string DeadLetterExchange = "dead-letter-exchange";
    /// <summary>The routing key of dead letters.</summary>
    public const string DeadLetterRoutingKey = "dead-letter-routing-key";
    /// <summary>How dead letters are published.</summary>
    public const string DeadLetterStrategy = "dead-letter-strategy";
    /// <summary>How often a message is returned before it is a dead letter; -1 for no limit.</summary>
    public const string DeliveryLimit = "delivery-limit";
    /// <summary>How long a consumer may hold a message, in milliseconds.</summary>
    public const string ConsumerTimeout = "consumer-timeout";
    /// <summary>Which returned messages wait.</summary>
    public const string DelayedRetryType = "delayed-retry-type";
    /// <summary>The shortest wait, in milliseconds.</summary>
    public const string DelayedRetryMin = "delayed-retry-min";
    /// <summary>The longest wait, in milliseconds.</summary>
    public const string DelayedRetryMax = "delayed-retry-max";
    /// <summary>How long a stream keeps messages.</summary>
    public const string MaxAge = "max-age";

    // Settings of RabbitMQ that have no meaning here, such as those of mirrors: definitions that have them can be imported.
    private static readonly HashSet<string> WithoutEffect = new(StringComparer.Ordinal)
    {
        "ha-mode", "ha-params", "ha-sync-mode", "ha-sync-batch-size", "ha-promote-on-shutdown", "ha-promote-on-failure", "queue-mode",
        "queue-version", "queue-master-locator", "queue-leader-locator", "max-in-memory-length", "max-in-memory-bytes",
        "target-group-size", "initial-cluster-size", "stream-max-segment-size-bytes", "stream-filter-size-bytes", "unclustered",
    };

    /// <summary>Returns what is wrong with a setting; null if nothing is.</summary>
    public static string? FaultOf(string key, FieldValue value) => key switch
    {
        MaxLength or MaxLengthBytes => value is IntegerValue { Value: >= 0 } ? null : $"must be an integer of 0 or more, not {value}",
        MessageTtl or ConsumerTimeout or DelayedRetryMin or DelayedRetryMax => value is IntegerValue { Value: >= 0 } time
            ? TimeFault(time.Value) : $"must be an integer of 0 or more, not {value}",
        Expires => value is IntegerValue { Value: > 0 } time ? TimeFault(time.Value) : $"must be an integer above 0, not {value}",
        DeliveryLimit => value is IntegerValue { Value: >= -1 } ? null : $"must be an integer of -1 or more, not {value}",
        Overflow => OneOf(value, "drop-head", "reject-publish", "reject-publish-dlx"),
        DeadLetterStrategy => OneOf(value, "at-most-once", "at-least-once"),
        DelayedRetryType => OneOf(value, "disabled", "all", "failed", "returned"),
        DeadLetterRoutingKey when value is TextValue routing && ResourceNames.FaultOf("it", routing.Value) is { } tooLong =>
            $"must be shorter: {tooLong.Text}",
        DeadLetterExchange or DeadLetterRoutingKey or ExchangeTypes.Alternate =>
            value is TextValue ? null : $"must be a text, not {value}",
        MaxAge => value is TextValue text && QueueArguments.ParseAge(text.Value) is not null ? null
            : $"must be a number and a unit of Y, M, D, h, m, s, such as 7D, not {value}",
        _ => !WithoutEffect.Contains(key) ? "is not a setting of policies"
            // The definition is a level of its own.
            : FieldTable.FaultOf(1 + value.Depth) is { } fault ? $"is {fault}" : null,
    };

    private static string? TimeFault(long milliseconds) => milliseconds <= QueueArguments.MaxExpiry ? null
        : $"must be at most {QueueArguments.MaxExpiry} milliseconds, ten years, not {milliseconds}";

    private static string? OneOf(FieldValue value, params ReadOnlySpan<string> allowed) =>
        value is TextValue text && allowed.Contains(text.Value) ? null : $"must be one of {string.Join(", ", allowed!)}, not {value}";
}
