using System.Collections.Immutable;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace OrleansMq.VirtualHosts;

/// <summary>What a policy applies to. Stored in documents by name.</summary>
[JsonConverter(typeof(PolicyTargetConverter))]
internal enum PolicyTarget
{
    /// <summary>Queues and exchanges.</summary>
    All,
    /// <summary>Queues of all types.</summary>
    Queues,
    /// <summary>Exchanges.</summary>
    Exchanges,
    /// <summary>Classic queues.</summary>
    ClassicQueues,
    /// <summary>Quorum queues.</summary>
    QuorumQueues,
    /// <summary>Streams.</summary>
    Streams,
}

/// <summary>Converts a <see cref="PolicyTarget"/> to RabbitMQ's name, for example <c>"quorum_queues"</c>.</summary>
internal sealed class PolicyTargetConverter() : JsonStringEnumConverter<PolicyTarget>(JsonNamingPolicy.SnakeCaseLower, false);

/// <summary>A policy: settings for the queues and exchanges whose names match. It takes effect on those that exist.</summary>
internal sealed record Policy
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Which names it applies to.</summary>
    public required SafePattern Pattern { get; init; }

    /// <summary>What it applies to.</summary>
    public PolicyTarget ApplyTo { get; init; }

    /// <summary>Of the policies that match, the one with the highest priority applies, and of those the first by name.</summary>
    public int Priority { get; init; }

    /// <summary>The settings.</summary>
    public FieldTable Definition { get; init; } = FieldTable.Empty;

    /// <summary>Whether it applies to a queue.</summary>
    public bool AppliesTo(QueueState queue) => (ApplyTo is PolicyTarget.All or PolicyTarget.Queues || ApplyTo == queue.Type switch
    {
        QueueType.Quorum => PolicyTarget.QuorumQueues,
        QueueType.Stream => PolicyTarget.Streams,
        _ => PolicyTarget.ClassicQueues,
    }) && Pattern.Matches(queue.Name);

    /// <summary>Whether it applies to an exchange.</summary>
    public bool AppliesTo(ExchangeState exchange) =>
        ApplyTo is PolicyTarget.All or PolicyTarget.Exchanges && Pattern.Matches(exchange.Name);
}

/// <summary>The policies of a virtual host, and those of its operator, which limit them.</summary>
internal sealed record PolicySet
{
    /// <summary>The most policies of a virtual host, and as many of its operator: each is tried for every queue and exchange.</summary>
    public const int MaxPolicies = 1_000;

    /// <summary>The most of them whose patterns need backtracking: each may take a tenth of a second for nothing. None of them is an
    /// operator policy.</summary>
    public const int MaxBacktracking = 50;

    // The highest priority first.
    private Policy[]? _ordered;
    private Policy[]? _orderedOperator;
    private Policy[]? _backtracking;
    // Not known, none, or some.
    private int _alternates;

    /// <summary>No policies.</summary>
    public static PolicySet Empty { get; } = new();

    // A copy with other policies makes its own.
    private PolicySet(PolicySet other) => (Policies, OperatorPolicies) = (other.Policies, other.OperatorPolicies);

    /// <summary>Creates a set without policies.</summary>
    public PolicySet()
    {
    }

    /// <summary>The policies by name.</summary>
    public ImmutableSortedDictionary<string, Policy> Policies
    {
        get;
        init => field = value.WithComparers(StringComparer.Ordinal); // The JSON reader creates one that compares by culture.
    } = ImmutableSortedDictionary.Create<string, Policy>(StringComparer.Ordinal);

    /// <summary>The operator policies by name.</summary>
    public ImmutableSortedDictionary<string, Policy> OperatorPolicies
    {
        get;
        init => field = value.WithComparers(StringComparer.Ordinal);
    } = ImmutableSortedDictionary.Create<string, Policy>(StringComparer.Ordinal);

    /// <summary>Returns what an exchange is configured with: its alternate exchange, which an argument sets before a policy.</summary>
    public string? AlternateOf(ExchangeState exchange) => exchange.Arguments.Text(ExchangeTypes.Alternate)
        ?? (HasAlternates ? Ordered.FirstOrDefault(policy => policy.AppliesTo(exchange))?.Definition.Text(ExchangeTypes.Alternate) : null);

    /// <summary>Returns what a queue is configured with, by its arguments and the policies that apply to it.</summary>
    public QueueSettings SettingsOf(QueueState queue) => QueueSettings.Of(queue,
        Ordered.FirstOrDefault(policy => policy.AppliesTo(queue)), OrderedOperator.FirstOrDefault(policy => policy.AppliesTo(queue)));

    /// <summary>All of both kinds.</summary>
    [JsonIgnore]
    public IEnumerable<Policy> All => Policies.Values.Concat(OperatorPolicies.Values);

    /// <summary>The policies whose patterns need backtracking.</summary>
    [JsonIgnore]
    public IReadOnlyList<Policy> Backtracking => _backtracking ??= [.. All.Where(static policy => policy.Pattern.Backtracks)];

    /// <summary>Demands that a change does not lead beyond the limits.</summary>
    /// <param name="before">The policies before.</param>
    /// <exception cref="DefinitionsException">It does.</exception>
    public PolicySet DemandRoom(PolicySet before)
    {
        DemandRoom(Policies.Count, before.Policies.Count, MaxPolicies, "policies");
        DemandRoom(OperatorPolicies.Count, before.OperatorPolicies.Count, MaxPolicies, "operator policies");
        DemandRoom(Backtracking.Count, before.Backtracking.Count, MaxBacktracking, "policies whose patterns need backtracking");
        foreach (var policy in OperatorPolicies.Values.Where(static policy => policy.Pattern.Backtracks))
        {
            // Names are the clients' choice: one that takes too long would be without its limits.
            if (before.OperatorPolicies.GetValueOrDefault(policy.Name)?.Pattern.Equals(policy.Pattern) != true)
                throw new DefinitionsException($"pattern: '{policy.Pattern}' of the operator policy '{policy.Name}' needs backtracking. "
                    + "Use one without references to groups, and with lookaheads at the beginning only, as in '^(?!amq\\.)'.");
        }
        return this;
    }

    // Of records with equal policies each has its own, and they are equal.
    /// <inheritdoc/>
    public bool Equals(PolicySet? other) => other is not null && Policies == other.Policies && OperatorPolicies == other.OperatorPolicies;

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Policies, OperatorPolicies);

    private Policy[] Ordered => _ordered ??= InOrder(Policies);

    private Policy[] OrderedOperator => _orderedOperator ??= InOrder(OperatorPolicies);

    private bool HasAlternates
    {
        get
        {
            if (_alternates == 0)
                _alternates = Policies.Values.Any(static policy => policy.Definition.Text(ExchangeTypes.Alternate) is not null) ? 2 : 1;
            return _alternates == 2;
        }
    }

    // Of equal priorities the first by name.
    private static Policy[] InOrder(ImmutableSortedDictionary<string, Policy> policies) =>
        [.. policies.Values.OrderByDescending(static policy => policy.Priority)];

    private static void DemandRoom(int count, int before, int most, string what)
    {
        if (count > most && count > before)
            throw new DefinitionsException($"the virtual host would have {count} {what}, at most {most} are allowed: delete some, or have "
                + "one pattern match more names.");
    }
}
