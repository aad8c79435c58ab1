using System.Collections.Immutable;
using System.Globalization;

namespace OrleansMq.VirtualHosts;

/// <summary>The bindings from an exchange, arranged for its type. Immutable; a change copies little of it.</summary>
internal abstract class ExchangeRoutes
{
    /// <summary>Creates the routes of an exchange without bindings.</summary>
    public static ExchangeRoutes Create(ExchangeState exchange) => ExchangeTypes.RoutingTypeOf(exchange) switch
    {
        ExchangeTypes.Direct => DirectRoutes.Empty,
        ExchangeTypes.Fanout => FanoutRoutes.Empty,
        ExchangeTypes.Topic => TopicRoutes.Empty,
        ExchangeTypes.Headers => HeadersRoutes.Empty,
        ExchangeTypes.Random => RandomRoutes.Empty,
        ExchangeTypes.ConsistentHash => new HashRoutes(exchange.Arguments.Text("hash-header"), exchange.Arguments.Text("hash-property"),
            HashRoutes.NoBindings),
        var type => throw new ArgumentException($"The exchange '{exchange.Name}' has the type '{type}', which is unknown."),
    };

    /// <summary>Returns the routes with a binding.</summary>
    public abstract ExchangeRoutes Add(BindingState binding, RouteTarget target);

    /// <summary>Returns the routes without a binding.</summary>
    public abstract ExchangeRoutes Remove(BindingState binding, RouteTarget target);

    /// <summary>Collects the targets of a message.</summary>
    public abstract void Collect(in RoutedMessage message, RouteCollector collector);
}

/// <summary>Routes by the equal key.</summary>
internal sealed class DirectRoutes : ExchangeRoutes
{
    private readonly ImmutableDictionary<string, TargetSet> _byKey;

    private DirectRoutes(ImmutableDictionary<string, TargetSet> byKey) => _byKey = byKey;

    /// <summary>No bindings.</summary>
    public static DirectRoutes Empty { get; } = new(ImmutableDictionary.Create<string, TargetSet>(StringComparer.Ordinal));

    /// <inheritdoc/>
    public override ExchangeRoutes Add(BindingState binding, RouteTarget target) =>
        new DirectRoutes(_byKey.SetItem(binding.RoutingKey, _byKey.GetValueOrDefault(binding.RoutingKey, TargetSet.Empty).Add(target)));

    /// <inheritdoc/>
    public override ExchangeRoutes Remove(BindingState binding, RouteTarget target)
    {
        if (!_byKey.TryGetValue(binding.RoutingKey, out var targets))
            return this;
        var left = targets.Remove(target);
        return new DirectRoutes(left.IsEmpty ? _byKey.Remove(binding.RoutingKey) : _byKey.SetItem(binding.RoutingKey, left));
    }

    /// <inheritdoc/>
    public override void Collect(in RoutedMessage message, RouteCollector collector)
    {
        Collect(message.RoutingKey, collector);
        foreach (var key in message.MoreKeys ?? [])
            Collect(key, collector);
    }

    private void Collect(string key, RouteCollector collector)
    {
        if (_byKey.TryGetValue(key, out var targets))
            collector.Add(targets);
    }
}

/// <summary>Routes to all.</summary>
internal sealed class FanoutRoutes : ExchangeRoutes
{
    private readonly TargetSet _targets;

    private FanoutRoutes(TargetSet targets) => _targets = targets;

    /// <summary>No bindings.</summary>
    public static FanoutRoutes Empty { get; } = new(TargetSet.Empty);

    /// <inheritdoc/>
    public override ExchangeRoutes Add(BindingState binding, RouteTarget target) => new FanoutRoutes(_targets.Add(target));

    /// <inheritdoc/>
    public override ExchangeRoutes Remove(BindingState binding, RouteTarget target) => new FanoutRoutes(_targets.Remove(target));

    /// <inheritdoc/>
    public override void Collect(in RoutedMessage message, RouteCollector collector) => collector.Add(_targets);
}

/// <summary>Routes to one target at random. Which one needs no decision that can be repeated.</summary>
internal sealed class RandomRoutes : ExchangeRoutes
{
    private readonly TargetSet _targets;

    private RandomRoutes(TargetSet targets) => _targets = targets;

    /// <summary>No bindings.</summary>
    public static RandomRoutes Empty { get; } = new(TargetSet.Empty);

    /// <inheritdoc/>
    public override ExchangeRoutes Add(BindingState binding, RouteTarget target) => new RandomRoutes(_targets.Add(target));

    /// <inheritdoc/>
    public override ExchangeRoutes Remove(BindingState binding, RouteTarget target) => new RandomRoutes(_targets.Remove(target));

    /// <inheritdoc/>
    public override void Collect(in RoutedMessage message, RouteCollector collector)
    {
        var all = _targets.All;
        if (!all.IsEmpty)
            collector.Add(all[Random.Shared.Next(all.Length)]);
    }
}

/// <summary>Routes by headers. Every binding is tested, as in RabbitMQ.</summary>
internal sealed class HeadersRoutes : ExchangeRoutes
{
    private readonly ImmutableDictionary<BindingState, (HeadersPattern Pattern, RouteTarget Target)> _bindings;
    private Tests? _tests;

    private HeadersRoutes(ImmutableDictionary<BindingState, (HeadersPattern Pattern, RouteTarget Target)> bindings) => _bindings = bindings;

    /// <summary>No bindings.</summary>
    public static HeadersRoutes Empty { get; } = new(ImmutableDictionary<BindingState, (HeadersPattern, RouteTarget)>.Empty);

    /// <inheritdoc/>
    public override ExchangeRoutes Add(BindingState binding, RouteTarget target) =>
        new HeadersRoutes(_bindings.SetItem(binding, (HeadersPattern.Of(binding.Arguments), target)));

    /// <inheritdoc/>
    public override ExchangeRoutes Remove(BindingState binding, RouteTarget target) => new HeadersRoutes(_bindings.Remove(binding));

    /// <inheritdoc/>
    public override void Collect(in RoutedMessage message, RouteCollector collector)
    {
        var tests = _tests ??= new Tests([.. _bindings.Values]);
        if (!collector.TrySpend(tests.Steps))
            return;
        foreach (var (pattern, target) in tests.All)
        {
            if (pattern.Matches(message.Headers))
                collector.Add(target);
        }
    }

    private sealed class Tests((HeadersPattern Pattern, RouteTarget Target)[] all)
    {
        public (HeadersPattern Pattern, RouteTarget Target)[] All => all;

        public int Steps { get; } = (int)Math.Min(all.Sum(static one => (long)one.Pattern.Steps), int.MaxValue);
    }
}

/// <summary>
/// Routes each key to one target, chosen by a hash. Every target has points on a ring in proportion to its weight, the sum of its bindings'
/// keys. The points depend on its name alone: a target that comes or goes moves only its own share of the keys. Weights of more than 512
/// together have fewer points each, half as many for each doubling: a target that leads beyond 512, 1,024 and so on moves other keys, too.
/// </summary>
internal sealed class HashRoutes(string? header, string? property, ImmutableDictionary<BindingState, RouteTarget> bindings) : ExchangeRoutes
{
    private const int PointsPerWeight = 64;
    // A ring is made anew after each bind, which takes milliseconds.
    private const long MaxPoints = 1 << 15;

    private (ulong Point, RouteTarget Target)[]? _ring;

    /// <summary>No bindings.</summary>
    public static ImmutableDictionary<BindingState, RouteTarget> NoBindings { get; } =
        ImmutableDictionary<BindingState, RouteTarget>.Empty;

    /// <inheritdoc/>
    public override ExchangeRoutes Add(BindingState binding, RouteTarget target) =>
        new HashRoutes(header, property, bindings.SetItem(binding, target));

    /// <inheritdoc/>
    public override ExchangeRoutes Remove(BindingState binding, RouteTarget target) =>
        new HashRoutes(header, property, bindings.Remove(binding));

    /// <inheritdoc/>
    public override void Collect(in RoutedMessage message, RouteCollector collector)
    {
        var ring = _ring ??= Ring();
        if (ring.Length == 0)
            return;
        var hashed = header is not null ? message.Headers[header]?.ToString() ?? ""
            : property is not null ? message.Properties?.Invoke(property) ?? "" : message.RoutingKey;
        var hash = Hash(hashed, 0);
        var (low, high) = (0, ring.Length);
        while (low < high)
        {
            var middle = (low + high) >>> 1;
            if (ring[middle].Point < hash)
                low = middle + 1;
            else
                high = middle;
        }
        collector.Add(ring[low == ring.Length ? 0 : low].Target);
    }

    private (ulong Point, RouteTarget Target)[] Ring()
    {
        var weights = bindings.GroupBy(binding => binding.Value, binding => (long)int.Parse(binding.Key.RoutingKey, NumberStyles.None,
            CultureInfo.InvariantCulture)).Select(group => (Target: group.Key, Weight: group.Sum())).Where(target => target.Weight > 0)
            .ToArray();
        // Heavy weights have fewer points each, in the same proportion.
        var (total, divisor) = (weights.Sum(target => target.Weight) * PointsPerWeight, 1L);
        while (total / divisor > MaxPoints)
            divisor *= 2;
        var ring = new List<(ulong Point, RouteTarget Target)>();
        foreach (var (target, weight) in weights)
        {
            var points = Math.Max(1, weight * PointsPerWeight / divisor);
            for (var point = 1; point <= points; point++)
                ring.Add((Hash(target.Name, (ulong)point << 1 | (ulong)target.Kind), target));
        }
        return [.. ring.OrderBy(entry => entry.Point).ThenBy(entry => entry.Target.Name, StringComparer.Ordinal)];
    }

    // FNV-1a, then mixed so that all bits depend on all characters.
    private static ulong Hash(string text, ulong seed)
    {
        var hash = 14695981039346656037ul ^ seed * 0x9e3779b97f4a7c15ul;
        foreach (var c in text)
            hash = unchecked((hash ^ c) * 1099511628211ul);
        hash = unchecked((hash ^ hash >> 33) * 0xff51afd7ed558ccdul);
        hash = unchecked((hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53ul);
        return hash ^ hash >> 33;
    }
}
