using System.Text.Json.Serialization;

namespace OrleansMq.VirtualHosts;

/// <summary>A declaration of a queue.</summary>
internal sealed record QueueDeclaration
{
    /// <summary>The queue's name; empty if the broker is to choose it.</summary>
    public required string Name { get; init; }

    /// <summary>Whether it is to be stored.</summary>
    public bool Durable { get; init; }

    /// <summary>Whether it belongs to the connection.</summary>
    public bool Exclusive { get; init; }

    /// <summary>Whether it is to be in the memory of the connection's broker, if it is not durable.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool InMemory { get; init; }

    /// <summary>Whether it ends with its last consumer.</summary>
    public bool AutoDelete { get; init; }

    /// <summary>Its arguments.</summary>
    public FieldTable Arguments { get; init; } = FieldTable.Empty;
}

/// <summary>What only a queue's holder knows.</summary>
/// <param name="Messages">Its ready messages.</param>
internal readonly record struct QueueFacts(long Messages);

// Queues.
internal sealed partial class VirtualHostTopology
{
    /// <summary>The beginning of names that the broker chooses.</summary>
    public const string GeneratedPrefix = "amq.gen-";

    /// <summary>Decides on a use of a queue by a connection: a passive declaration, consume, get, purge.</summary>
    public TopologyDecision UseQueue(string name, string connection)
    {
        name = ResourceNames.Clean(name);
        return FindQueue(name) is not { } queue ? Refuse(NoQueue(name))
            : IsLocked(queue, connection) ? Refuse(AmqpRefusal.Locked(QueueName(name))) : TopologyDecision.Keep(this, queue);
    }

    /// <summary>Decides on a declaration of a queue.</summary>
    /// <param name="request">The declaration.</param>
    /// <param name="connection">The connection that declares.</param>
    /// <param name="id">The id of a new queue.</param>
    /// <param name="generated">A name for a queue without one: <see cref="GeneratedPrefix"/> and 22 random characters.</param>
    /// <param name="defaultType">The type of durable queues that do not name one; null for classic.</param>
    /// <param name="mayBeReserved">Whether the name may be one that a broker chose, as in definitions.</param>
    public TopologyDecision DeclareQueue(QueueDeclaration request, string connection, long id, string generated,
        QueueType? defaultType = null, bool mayBeReserved = false)
    {
        var name = ResourceNames.Clean(request.Name);
        // A durable queue of one connection could not outlive it.
        var isDurable = request.Durable && !request.Exclusive;
        var arguments = isDurable && defaultType is { } type && request.Arguments[QueueArguments.Type] is null
            ? request.Arguments.With(QueueArguments.Type, new TextValue(QueueArguments.NameOf(type)))
            : request.Arguments;
        if (name.Length == 0)
        {
            if (QueueArguments.TypeOf(arguments) is { } unnamed and not QueueType.Classic)
                return Refuse(AmqpRefusal.Precondition(
                    $"Cannot declare a server-named queue for type rabbit_{QueueArguments.NameOf(unnamed)}_queue"));
            name = generated;
        }
        else if (FindQueue(name) is { } existing)
            return DifferenceOf(existing, request, isDurable, arguments, connection) is { } different
                ? Refuse(different) : TopologyDecision.Keep(this, existing);
        else if (!mayBeReserved && name.StartsWith(ExchangeTypes.ReservedPrefix, StringComparison.Ordinal))
            return Refuse(Reserved("queue", name));
        if (ResourceNames.FaultOf("the name of a queue", name) is { } tooLong)
            return Refuse(tooLong);
        if (arguments.FaultOf(QueueName(name)) is { } tooDeep)
            return Refuse(tooDeep);
        if (QueueArguments.Check(QueueName(name), arguments) is { } fault)
            return Refuse(fault);
        var queue = new QueueState
        {
            Name = name,
            Id = id,
            Type = QueueArguments.TypeOf(arguments)!.Value,
            Durable = isDurable,
            AutoDelete = request.AutoDelete,
            Owner = request.Exclusive ? connection : null,
            InMemory = request.InMemory && !isDurable,
            Declarer = request is { InMemory: true, Exclusive: false } && !isDurable ? connection : null,
            Arguments = arguments,
        };
        if (queue.Type != QueueType.Classic && PropertyFault(queue) is { } property)
            return Refuse(AmqpRefusal.Precondition($"invalid property '{property}' for {QueueName(name)}"));
        var changes = new TopologyChanges(this);
        changes.Add(new PutQueue(queue));
        return TopologyDecision.Accept(changes, queue);
    }

    /// <summary>Decides on a deletion of a queue. A missing one is not an error.</summary>
    /// <param name="name">The queue.</param>
    /// <param name="connection">The connection that deletes; null for an operator.</param>
    /// <param name="ifUnused">Whether to refuse if it has consumers.</param>
    /// <param name="ifEmpty">Whether to refuse if it has messages.</param>
    /// <param name="facts">What its holder knows of it; not needed without a condition.</param>
    public TopologyDecision DeleteQueue(string name, string? connection, bool ifUnused = false, bool ifEmpty = false,
        QueueFacts facts = default)
    {
        name = ResourceNames.Clean(name);
        if (FindQueue(name) is not { } queue)
            return TopologyDecision.Keep(this);
        if (connection is not null && IsLocked(queue, connection))
            return Refuse(AmqpRefusal.Locked(QueueName(name)));
        if (queue.Type != QueueType.Classic && (ifUnused || ifEmpty))
            return Refuse(AmqpRefusal.NotImplemented($"cannot delete {QueueName(name)}. queue.delete operations with "
                + $"{(ifUnused ? "if-unused" : "if-empty")} flag set are not supported by {QueueArguments.NameOf(queue.Type)} queues"));
        if (ifUnused && !ConsumersOf(queue).IsEmpty)
            return Refuse(AmqpRefusal.Precondition($"{QueueName(name)} in use"));
        if (ifEmpty && facts.Messages > 0)
            return Refuse(AmqpRefusal.Precondition($"{QueueName(name)} not empty"));
        return End([], [queue]);
    }

    /// <summary>Ends a queue that has expired, unless it has consumers.</summary>
    /// <param name="name">The queue.</param>
    /// <param name="id">Its id: a new queue of the same name stays.</param>
    public TopologyDecision EndQueue(string name, long id) =>
        FindQueue(name) is { } queue && queue.Id == id && ConsumersOf(queue).IsEmpty ? End([], [queue]) : TopologyDecision.Keep(this);

    /// <summary>Ends the exclusive queues of a connection that is gone, and its consumers; or the queues in the memory of a broker that is
    /// gone.</summary>
    /// <param name="connection">The connection, or what stands for all of the broker's.</param>
    public TopologyDecision EndConnection(string connection) =>
        End([.. _consumersOf.GetValueOrDefault(connection, []).OrderBy(static consumer => consumer.Id, StringComparer.Ordinal)],
            [.. QueuesOf(connection).Order(StringComparer.Ordinal).Select(FindQueue).OfType<QueueState>()]);

    private static bool IsLocked(QueueState queue, string connection) => queue.Owner is { } owner && owner != connection;

    // RabbitMQ checks the properties of a new quorum queue or stream in this order.
    private static string? PropertyFault(QueueState queue) =>
        queue.AutoDelete ? "auto-delete" : queue.Owner is not null ? "exclusive-owner" : queue.Durable ? null : "non-durable";

    private AmqpRefusal? DifferenceOf(QueueState existing, QueueDeclaration request, bool isDurable, FieldTable arguments,
        string connection)
    {
        var name = QueueName(existing.Name);
        if (existing.Owner != (request.Exclusive ? connection : null))
            return AmqpRefusal.Locked(name);
        return Equivalence.Flag(name, "durable", isDurable, existing.Durable)
            ?? Equivalence.Flag(name, "auto_delete", request.AutoDelete, existing.AutoDelete)
            ?? QueueArguments.Compare(name, existing.Type, arguments, existing.Arguments);
    }

    private AmqpRefusal NoQueue(string name) => AmqpRefusal.NotFound(QueueName(name));

    private string QueueName(string name) => ResourceNames.Queue(Name, name);
}
