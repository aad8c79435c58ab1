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
    /// <summary>No policies.</summary>
    public static PolicySet Empty { get; } = new();

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
        ?? Highest(Policies, policy => policy.AppliesTo(exchange))?.Definition.Text(ExchangeTypes.Alternate);

    /// <summary>Returns what a queue is configured with, by its arguments and the policies that apply to it.</summary>
    public QueueSettings SettingsOf(QueueState queue) => QueueSettings.Of(queue, Highest(Policies, policy => policy.AppliesTo(queue)),
        Highest(OperatorPolicies, policy => policy.AppliesTo(queue)));

    private static Policy? Highest(ImmutableSortedDictionary<string, Policy> policies, Func<Policy, bool> applies)
    {
        Policy? highest = null;
        foreach (var policy in policies.Values)
        {
            if ((highest is null || policy.Priority > highest.Priority) && applies(policy))
                highest = policy;
        }
        return highest;
    }
}
