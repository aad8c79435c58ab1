namespace OrleansMq.VirtualHosts;

/// <summary>A declaration of an exchange.</summary>
internal sealed record ExchangeDeclaration
{
    /// <summary>The exchange's name.</summary>
    public required string Name { get; init; }

    /// <summary>Its type.</summary>
    public string Type { get; init; } = ExchangeTypes.Direct;

    /// <summary>Whether it is to be stored.</summary>
    public bool Durable { get; init; }

    /// <summary>Whether it ends with its last binding.</summary>
    public bool AutoDelete { get; init; }

    /// <summary>Whether clients may not publish to it.</summary>
    public bool Internal { get; init; }

    /// <summary>Its arguments.</summary>
    public FieldTable Arguments { get; init; } = FieldTable.Empty;
}

// Exchanges.
internal sealed partial class VirtualHostTopology
{
    /// <summary>Decides on a passive declaration of an exchange: whether it exists.</summary>
    public TopologyDecision CheckExchange(string name)
    {
        name = ResourceNames.Clean(name);
        return name.Length == 0 ? Refuse(DefaultExchange)
            : FindExchange(name) is null ? Refuse(NoExchange(name)) : TopologyDecision.Keep(this);
    }

    /// <summary>Decides on a declaration of an exchange.</summary>
    /// <param name="request">The declaration.</param>
    /// <param name="id">The id of a new exchange.</param>
    public TopologyDecision DeclareExchange(ExchangeDeclaration request, long id)
    {
        var name = ResourceNames.Clean(request.Name);
        if (name.Length == 0)
            return Refuse(DefaultExchange);
        if (ResourceNames.FaultOf("the name of an exchange", name) is { } tooLong)
            return Refuse(tooLong);
        if (!ExchangeTypes.IsKnown(request.Type))
            return Refuse(AmqpRefusal.Precondition($"unknown exchange type '{request.Type}'"));
        if (FindExchange(name) is { } existing)
            return DifferenceOf(existing, request) is { } different ? Refuse(different) : TopologyDecision.Keep(this);
        if (name.StartsWith(ExchangeTypes.ReservedPrefix, StringComparison.Ordinal))
            return Refuse(Reserved("exchange", name));
        if (ArgumentFault(name, request) is { } fault)
            return Refuse(fault);
        var changes = new TopologyChanges(this);
        changes.Add(new PutExchange(new ExchangeState
        {
            Name = name,
            Id = id,
            Type = request.Type,
            Durable = request.Durable,
            AutoDelete = request.AutoDelete,
            Internal = request.Internal,
            Arguments = request.Arguments,
        }));
        return TopologyDecision.Accept(changes);
    }

    /// <summary>Decides on a deletion of an exchange. A missing one is not an error.</summary>
    /// <param name="name">The exchange.</param>
    /// <param name="ifUnused">Whether to refuse if there are bindings from it.</param>
    public TopologyDecision DeleteExchange(string name, bool ifUnused = false)
    {
        name = ResourceNames.Clean(name);
        if (name.Length == 0)
            return Refuse(DefaultExchange);
        if (name.StartsWith(ExchangeTypes.ReservedPrefix, StringComparison.Ordinal))
            return Refuse(AmqpRefusal.Access($"deletion of system {ExchangeName(name)} not allowed"));
        if (FindExchange(name) is not { } exchange)
            return TopologyDecision.Keep(this);
        if (ifUnused && !BindingsFrom(name).IsEmpty)
            return Refuse(AmqpRefusal.Precondition($"{ExchangeName(name)} in use"));
        var changes = new TopologyChanges(this);
        EndExchange(changes, exchange);
        return TopologyDecision.Accept(changes);
    }

    /// <summary>Decides on a publish to an exchange.</summary>
    /// <returns>The refusal; null if the message may be routed.</returns>
    public AmqpRefusal? CheckPublish(string exchange) => FindExchange(exchange) switch
    {
        null => NoExchange(exchange),
        { Internal: true } => AmqpRefusal.Access($"cannot publish to internal {ExchangeName(exchange)}"),
        _ => null,
    };

    /// <summary>Ends the exchanges that are deleted automatically, have had a binding, and have none: a crash came between. A new owner
    /// calls it once it knows what is not stored, since a binding to a queue that is not durable counts, too.</summary>
    public TopologyDecision EndUnboundExchanges()
    {
        var changes = new TopologyChanges(this);
        foreach (var exchange in Exchanges.Where(exchange => exchange.WasBound).ToArray())
            EndIfUnbound(changes, exchange.Name);
        return changes.Edits.Count == 0 ? TopologyDecision.Keep(this) : TopologyDecision.Accept(changes);
    }

    private static AmqpRefusal DefaultExchange => AmqpRefusal.Access("operation not permitted on the default exchange");

    private static AmqpRefusal Reserved(string kind, string name) =>
        AmqpRefusal.Access($"{kind} name '{name}' contains reserved prefix 'amq.*'");

    private static void EndExchange(TopologyChanges changes, ExchangeState exchange)
    {
        var sources = new Queue<string>();
        Remove(changes, exchange, sources);
        EndUnbound(changes, sources);
    }

    private static void EndIfUnbound(TopologyChanges changes, string name) => EndUnbound(changes, new Queue<string>([name]));

    // Removes a destination with the bindings to it. Exchanges that lead nowhere then end as well.
    private static void EndDestination(TopologyChanges changes, DestinationKind kind, string name, Action remove)
    {
        var sources = new Queue<string>();
        Remove(changes, kind, name, remove, sources);
        EndUnbound(changes, sources);
    }

    // One after the other: exchanges that lead to each other may be a chain of any length.
    private static void EndUnbound(TopologyChanges changes, Queue<string> names)
    {
        while (names.TryDequeue(out var name))
        {
            if (changes.Next.FindExchange(name) is { AutoDelete: true, WasBound: true } exchange
                && changes.Next.BindingsFrom(name).IsEmpty)
                Remove(changes, exchange, names);
        }
    }

    private static void Remove(TopologyChanges changes, ExchangeState exchange, Queue<string> sources)
    {
        foreach (var binding in changes.Next.BindingsFrom(exchange.Name))
            changes.Add(new RemoveBinding(binding, IsDead: true));
        Remove(changes, DestinationKind.Exchange, exchange.Name, () => changes.Add(new RemoveExchange(exchange)), sources);
    }

    // The sources of its bindings are added to those that may lead nowhere.
    private static void Remove(TopologyChanges changes, DestinationKind kind, string name, Action remove, Queue<string> sources)
    {
        var bindings = changes.Next.BindingsTo(kind, name);
        foreach (var binding in bindings)
            changes.Add(new RemoveBinding(binding, IsDead: true));
        remove();
        foreach (var source in bindings.Select(binding => binding.Source).Distinct().Order(StringComparer.Ordinal))
            sources.Enqueue(source);
    }

    private AmqpRefusal? DifferenceOf(ExchangeState existing, ExchangeDeclaration request)
    {
        var name = ExchangeName(existing.Name);
        return Equivalence.Flag(name, "type", request.Type, existing.Type)
            ?? Equivalence.Flag(name, "durable", request.Durable, existing.Durable)
            ?? Equivalence.Flag(name, "auto_delete", request.AutoDelete, existing.AutoDelete)
            ?? Equivalence.Flag(name, "internal", request.Internal, existing.Internal)
            ?? Equivalence.Argument(name, ExchangeTypes.Alternate, request.Arguments[ExchangeTypes.Alternate],
                existing.Arguments[ExchangeTypes.Alternate]);
    }

    private AmqpRefusal? ArgumentFault(string name, ExchangeDeclaration request)
    {
        if (request.Arguments.FaultOf(ExchangeName(name)) is { } tooDeep)
            return tooDeep;
        if (request.Arguments[ExchangeTypes.Alternate] is { } alternate and not TextValue)
            return AmqpRefusal.Precondition(
                $"invalid type '{alternate.TypeName}' for arg '{ExchangeTypes.Alternate}' in {ExchangeName(name)}");
        if (request.Type != ExchangeTypes.Delayed)
            return null;
        return request.Arguments.Text(ExchangeTypes.DelayedType) is { } type && ExchangeTypes.IsKnown(type) && type != ExchangeTypes.Delayed
            ? null : AmqpRefusal.Precondition("Invalid argument, 'x-delayed-type' must be an existing exchange type");
    }

    private TopologyDecision Refuse(AmqpRefusal refusal) => TopologyDecision.Refuse(refusal, this);

    private AmqpRefusal NoExchange(string name) => AmqpRefusal.NotFound(ExchangeName(name));

    private string ExchangeName(string name) => ResourceNames.Exchange(Name, name);
}

/// <summary>Compares what is declared again with what exists.</summary>
internal static class Equivalence
{
    /// <summary>Compares a flag.</summary>
    public static AmqpRefusal? Flag(string resource, string flag, bool received, bool current) =>
        Flag(resource, flag, received ? "true" : "false", current ? "true" : "false");

    /// <summary>Compares a property.</summary>
    public static AmqpRefusal? Flag(string resource, string flag, string received, string current) => received == current ? null
        : AmqpRefusal.Precondition($"inequivalent arg '{flag}' for {resource}: received '{received}' but current is '{current}'");

    /// <summary>Compares an argument. All integer types are one.</summary>
    public static AmqpRefusal? Argument(string resource, string argument, FieldValue? received, FieldValue? current) =>
        received is null ? current is null ? null : Different(resource, argument, received, current)
            : received.IsEquivalent(current) ? null : Different(resource, argument, received, current);

    private static AmqpRefusal Different(string resource, string argument, FieldValue? received, FieldValue? current) =>
        AmqpRefusal.Precondition(
            $"inequivalent arg '{argument}' for {resource}: received {Describe(received)} but current is {Describe(current)}");

    private static string Describe(FieldValue? value) =>
        value is null ? "none" : $"the value '{value}' of type '{value.TypeName}'";
}
