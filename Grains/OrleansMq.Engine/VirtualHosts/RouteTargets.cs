using System.Collections.Immutable;

namespace OrleansMq.VirtualHosts;

/// <summary>A queue or exchange that bindings lead to. A routing table has one instance of each: they compare by reference.</summary>
/// <param name="kind">What it is.</param>
/// <param name="name">Its name.</param>
/// <param name="id">The id of the queue or exchange.</param>
internal sealed class RouteTarget(DestinationKind kind, string name, long id)
{
    /// <summary>What it is.</summary>
    public DestinationKind Kind { get; } = kind;

    /// <summary>Its name.</summary>
    public string Name { get; } = name;

    /// <summary>The id of the queue or exchange.</summary>
    public long Id { get; } = id;

    /// <summary>Returns the name.</summary>
    public override string ToString() => Name;
}

/// <summary>Targets with the number of bindings that lead to each. Immutable; a change costs little however many there are.</summary>
internal sealed class TargetSet
{
    private readonly RouteTarget? _one;
    private readonly int _count;
    private readonly ImmutableDictionary<RouteTarget, int>? _more;
    private RouteTarget[]? _all;

    private TargetSet(RouteTarget? one, int count, ImmutableDictionary<RouteTarget, int>? more) =>
        (_one, _count, _more) = (one, count, more);

    /// <summary>No targets.</summary>
    public static TargetSet Empty { get; } = new(null, 0, null);

    /// <summary>Whether there are no targets.</summary>
    public bool IsEmpty => _one is null && _more is null;

    /// <summary>Each target once.</summary>
    public ReadOnlySpan<RouteTarget> All => _all ??= _more is not null ? [.. _more.Keys] : _one is not null ? [_one] : [];

    /// <summary>Returns the set with one more binding to a target.</summary>
    public TargetSet Add(RouteTarget target)
    {
        if (_more is not null)
            return new TargetSet(null, 0, _more.SetItem(target, _more.GetValueOrDefault(target) + 1));
        return _one is null || _one == target ? new TargetSet(target, _count + 1, null)
            : new TargetSet(null, 0, ImmutableDictionary<RouteTarget, int>.Empty.Add(_one, _count).Add(target, 1));
    }

    /// <summary>Returns the set with one binding less to a target.</summary>
    public TargetSet Remove(RouteTarget target)
    {
        if (_more is null)
            return _one != target ? this : _count > 1 ? new TargetSet(target, _count - 1, null) : Empty;
        if (!_more.TryGetValue(target, out var count))
            return this;
        var left = count > 1 ? _more.SetItem(target, count - 1) : _more.Remove(target);
        return left.IsEmpty ? Empty : new TargetSet(null, 0, left);
    }
}

/// <summary>A message to route.</summary>
/// <param name="RoutingKey">Its routing key.</param>
/// <param name="Headers">Its headers.</param>
/// <param name="MoreKeys">Further routing keys, from its headers CC and BCC; null for none.</param>
/// <param name="Properties">Its properties by name, for consistent hash exchanges that hash one; null for none.</param>
/// <param name="IsDelayed">Whether exchanges of type <c>x-delayed-message</c> are targets, which route it later.</param>
internal readonly record struct RoutedMessage(string RoutingKey, FieldTable Headers, IReadOnlyList<string>? MoreKeys = null,
    Func<string, string?>? Properties = null, bool IsDelayed = false);

/// <summary>Collects the targets of a message, each once. Reused by one caller at a time, so that routing allocates little. The work of
/// one message is bounded: bindings of other clients decide how much a key costs.</summary>
internal sealed class RouteCollector
{
    /// <summary>The most steps for one message: matches, bindings that are tested, and patterns that are tried for a word. They take some
    /// ten milliseconds.</summary>
    public const int MaxSteps = 1_000_000;

    private int _steps;
    private readonly HashSet<RouteTarget> _seen = [];
    private readonly List<RouteTarget> _targets = [];
    private readonly Queue<string> _exchanges = [];
    private readonly HashSet<string> _visited = new(StringComparer.Ordinal);

    /// <summary>The queues that the message goes to, and the exchanges that delay it.</summary>
    public IReadOnlyList<RouteTarget> Targets => _targets;

    /// <summary>The entries that its memory has room for.</summary>
    public int Capacity => _seen.Capacity + _targets.Capacity + _exchanges.Capacity + _visited.Capacity + Current.Capacity + Next.Capacity
        + Open.Capacity + IsOpen.Capacity;

    /// <summary>The number of matches so far, with those of targets that were found before.</summary>
    public int Matches { get; private set; }

    /// <summary>The steps so far; above <see cref="MaxSteps"/> they are not exact.</summary>
    public int Steps => _steps;

    /// <summary>Whether the message has more steps than are allowed. Its targets are then incomplete.</summary>
    public bool IsExhausted => _steps > MaxSteps;

    /// <summary>The nodes at which a topic match stands.</summary>
    public List<TopicNode> Current { get; } = [];

    /// <summary>The nodes at which it stands after the next word.</summary>
    public List<TopicNode> Next { get; } = [];

    /// <summary>The nodes behind a <c>#</c>: from there any further words match.</summary>
    public List<TopicNode> Open { get; } = [];

    /// <summary>The same nodes, to look up.</summary>
    public HashSet<TopicNode> IsOpen { get; } = [];

    /// <summary>Begins a message.</summary>
    public void Begin(string exchange)
    {
        Clear();
        Visit(exchange);
    }

    /// <summary>Forgets what was found.</summary>
    public void Clear()
    {
        _seen.Clear();
        _targets.Clear();
        _exchanges.Clear();
        _visited.Clear();
        Current.Clear();
        Next.Clear();
        Open.Clear();
        IsOpen.Clear();
        (Matches, _steps) = (0, 0);
    }

    /// <summary>Takes the next exchange to route by.</summary>
    public bool TryNext(out string exchange)
    {
        exchange = "";
        return !IsExhausted && _exchanges.TryDequeue(out exchange!);
    }

    /// <summary>Counts steps. Returns whether they are allowed.</summary>
    public bool TrySpend(int steps)
    {
        _steps = Math.Min(_steps, MaxSteps) + Math.Min(steps, MaxSteps);
        return !IsExhausted;
    }

    /// <summary>Adds an exchange to route by, unless the message has been there.</summary>
    public void Visit(string exchange)
    {
        if (_visited.Add(exchange))
            _exchanges.Enqueue(exchange);
    }

    /// <summary>Adds a target.</summary>
    public void Add(RouteTarget target)
    {
        Matches++;
        if (target.Kind == DestinationKind.Exchange)
            Visit(target.Name);
        else if (_seen.Add(target))
            _targets.Add(target);
    }

    /// <summary>Adds an exchange that delays the message. It is visited once.</summary>
    public void AddDelaying(RouteTarget exchange) => _targets.Add(exchange);

    /// <summary>Adds targets.</summary>
    public void Add(TargetSet targets)
    {
        var all = targets.All;
        if (!TrySpend(all.Length + 1))
            return;
        foreach (var target in all)
            Add(target);
    }
}
