using System.Text;
using System.Text.Json.Serialization;

namespace OrleansMq.VirtualHosts;

/// <summary>The type of a queue. Stored in documents by name.</summary>
[JsonConverter(typeof(QueueTypeConverter))]
internal enum QueueType
{
    /// <summary>A classic queue.</summary>
    Classic,
    /// <summary>A quorum queue.</summary>
    Quorum,
    /// <summary>A stream: a topic, read without state.</summary>
    Stream,
}

/// <summary>What a binding leads to. Stored in documents by name.</summary>
[JsonConverter(typeof(DestinationKindConverter))]
internal enum DestinationKind
{
    /// <summary>A queue.</summary>
    Queue,
    /// <summary>An exchange.</summary>
    Exchange,
}

/// <summary>Converts a <see cref="QueueType"/> to JSON, for example <c>"quorum"</c>.</summary>
internal sealed class QueueTypeConverter() : JsonStringEnumConverter<QueueType>(System.Text.Json.JsonNamingPolicy.CamelCase, false);

/// <summary>Converts a <see cref="DestinationKind"/> to JSON, for example <c>"queue"</c>.</summary>
internal sealed class DestinationKindConverter()
    : JsonStringEnumConverter<DestinationKind>(System.Text.Json.JsonNamingPolicy.CamelCase, false);

/// <summary>An exchange.</summary>
internal sealed record ExchangeState
{
    /// <summary>Its name; empty for the default exchange.</summary>
    public required string Name { get; init; }

    /// <summary>Distinguishes it from an exchange of the same name that was deleted. Chosen at random, never 0.</summary>
    public required long Id { get; init; }

    /// <summary>Its type, one of <see cref="ExchangeTypes"/>.</summary>
    public required string Type { get; init; }

    /// <summary>Whether it is stored.</summary>
    public bool Durable { get; init; }

    /// <summary>Whether it is deleted when its last binding goes.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool AutoDelete { get; init; }

    /// <summary>Whether clients may not publish to it.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool Internal { get; init; }

    /// <summary>Whether it is deleted automatically and has had a binding, so that it ends with its last one.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool WasBound { get; init; }

    /// <summary>Its arguments.</summary>
    public FieldTable Arguments { get; init; } = FieldTable.Empty;
}

/// <summary>A queue.</summary>
internal sealed record QueueState
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Distinguishes it from a queue of the same name that was deleted. Chosen at random, never 0.</summary>
    public required long Id { get; init; }

    /// <summary>Its type.</summary>
    public QueueType Type { get; init; }

    /// <summary>Whether it is stored. An exclusive queue never is.</summary>
    public bool Durable { get; init; }

    /// <summary>Whether it is deleted when its last consumer goes.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool AutoDelete { get; init; }

    /// <summary>The connection that it belongs to and ends with; null if it is not exclusive.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Owner { get; init; }

    /// <summary>Whether it is in the memory of the broker that has <see cref="Owner"/>, or had <see cref="Declarer"/>, where brokers share
    /// it.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool InMemory { get; init; }

    /// <summary>The connection that declared it, if it is in memory and not exclusive: it ends with that connection's broker.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Declarer { get; init; }

    /// <summary>The connection whose id names the broker that has it in memory, where brokers share it; null: it is on the log.</summary>
    [JsonIgnore]
    public string? Keeper => InMemory ? Owner ?? Declarer : null;

    /// <summary>What it ends with: the id of a connection, or that of a broker (<see cref="ConnectionId.OfBroker"/>); null if it ends with
    /// neither.</summary>
    [JsonIgnore]
    public string? EndsWith => Owner ?? (Declarer is { } declarer ? ConnectionId.OfBroker(declarer) : null);

    /// <summary>Its arguments.</summary>
    public FieldTable Arguments { get; init; } = FieldTable.Empty;
}

/// <summary>A consumer of a queue. It is in memory only, and ends with its connection.</summary>
internal sealed record QueueConsumer
{
    /// <summary>The queue.</summary>
    public required string Queue { get; init; }

    /// <summary>The queue's id.</summary>
    public required long QueueId { get; init; }

    /// <summary>Its id, which no other consumer ever has.</summary>
    public required string Id { get; init; }

    /// <summary>Its connection.</summary>
    public required string Connection { get; init; }

    /// <summary>Whether it demanded to be the only one.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool Exclusive { get; init; }
}

/// <summary>
/// A binding. It is in force while its source and its destination exist with the ids that it names. So the deletion of either needs no
/// write for the binding, and a new exchange or queue of the same name does not inherit it.
/// </summary>
internal sealed record BindingState
{
    /// <summary>The exchange that it leads from.</summary>
    public required string Source { get; init; }

    /// <summary>The id of the source.</summary>
    public required long SourceId { get; init; }

    /// <summary>The queue or exchange that it leads to.</summary>
    public required string Destination { get; init; }

    /// <summary>The id of the destination.</summary>
    public required long DestinationId { get; init; }

    /// <summary>What the destination is.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public DestinationKind Kind { get; init; }

    /// <summary>The routing key or pattern; of a consistent hash exchange, the weight.</summary>
    public string RoutingKey { get; init; } = "";

    /// <summary>Its arguments; null for none.</summary>
    [JsonPropertyName("arguments"), JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public FieldTable? StoredArguments { get; init; }

    /// <summary>Its arguments.</summary>
    [JsonIgnore]
    public FieldTable Arguments
    {
        get => StoredArguments ?? FieldTable.Empty;
        init => StoredArguments = value.IsEmpty ? null : value;
    }
}

/// <summary>The types of exchanges, and the exchanges that every virtual host has.</summary>
internal static class ExchangeTypes
{
    /// <summary>Routes by the equal key.</summary>
    public const string Direct = "direct";
    /// <summary>Routes to all.</summary>
    public const string Fanout = "fanout";
    /// <summary>Routes by patterns of words.</summary>
    public const string Topic = "topic";
    /// <summary>Routes by headers.</summary>
    public const string Headers = "headers";
    /// <summary>Routes to one destination by a hash of the key; the binding's key is the weight.</summary>
    public const string ConsistentHash = "x-consistent-hash";
    /// <summary>Routes to one destination at random, whatever the key.</summary>
    public const string Random = "x-random";
    /// <summary>Routes as the type that <see cref="DelayedType"/> names, after a delay.</summary>
    public const string Delayed = "x-delayed-message";
    /// <summary>The argument with the type that a delayed exchange routes as.</summary>
    public const string DelayedType = "x-delayed-type";
    /// <summary>The argument with the exchange that takes what a queue or exchange does not route.</summary>
    public const string Alternate = "alternate-exchange";
    /// <summary>The beginning of reserved names.</summary>
    public const string ReservedPrefix = "amq.";

    // Predeclared exchanges are the same everywhere and not stored: they cannot be deleted, so one id suffices.
    private const long PredeclaredId = 1;

    /// <summary>The exchanges that every virtual host has.</summary>
    public static IReadOnlyDictionary<string, ExchangeState> Predeclared { get; } = new (string Name, string Type)[]
    {
        ("", Direct), ("amq.direct", Direct), ("amq.fanout", Fanout), ("amq.headers", Headers), ("amq.match", Headers),
        ("amq.topic", Topic), ("amq.rabbitmq.trace", Topic),
    }.ToDictionary(exchange => exchange.Name, exchange => new ExchangeState
    {
        Name = exchange.Name,
        Id = PredeclaredId,
        Type = exchange.Type,
        Durable = true,
        Internal = exchange.Name == "amq.rabbitmq.trace",
    }, StringComparer.Ordinal);

    /// <summary>Whether a type is known.</summary>
    public static bool IsKnown(string type) => type is Direct or Fanout or Topic or Headers or ConsistentHash or Random or Delayed;

    /// <summary>Returns the type by which an exchange routes.</summary>
    public static string RoutingTypeOf(ExchangeState exchange) =>
        exchange.Type == Delayed ? exchange.Arguments.Text(DelayedType) ?? Direct : exchange.Type;
}

/// <summary>How exchanges and queues are named in refusals.</summary>
internal static class ResourceNames
{
    // As many as a short string has.
    private const int MaxBytes = 255;

    /// <summary>Returns <c>queue 'q' in vhost '/'</c>.</summary>
    public static string Queue(string virtualHost, string name) => $"queue '{name}' in vhost '{virtualHost}'";

    /// <summary>Returns <c>exchange 'x' in vhost '/'</c>.</summary>
    public static string Exchange(string virtualHost, string name) => $"exchange '{name}' in vhost '{virtualHost}'";

    /// <summary>Returns the name of a binding's end.</summary>
    public static string Of(string virtualHost, DestinationKind kind, string name) =>
        kind == DestinationKind.Queue ? Queue(virtualHost, name) : Exchange(virtualHost, name);

    /// <summary>Returns the refusal of a name or routing key that no short string of AMQP can hold; null for others.</summary>
    /// <param name="what">What it is.</param>
    /// <param name="text">The name or routing key.</param>
    public static AmqpRefusal? FaultOf(string what, string text) => Encoding.UTF8.GetByteCount(text) is > MaxBytes and var bytes
        ? AmqpRefusal.Precondition($"{what} has {bytes} bytes, at most {MaxBytes} are allowed") : null;

    /// <summary>Removes line ends from a name, as RabbitMQ does.</summary>
    public static string Clean(string name) => name.AsSpan().ContainsAny('\r', '\n')
        ? string.Concat(name.Where(c => c is not ('\r' or '\n'))) : name;
}
