using OrleansMq.Access;

namespace OrleansMq.Grains.Access;

/// <summary>What a client needs to be allowed, to call a method of a public grain. A method without a rule is for brokers alone.
/// <see cref="IPartitionGrain"/> has none: its grain opens the partition for every call, so that a produce request passes no call
/// filter.</summary>
/// <param name="operation">The operation.</param>
/// <param name="type">The kind of resource.</param>
[AttributeUsage(AttributeTargets.Method)]
internal class GrainRuleAttribute(AccessOperation operation, ResourceType type) : Attribute
{
    /// <summary>The operation.</summary>
    public AccessOperation Operation => operation;

    /// <summary>The kind of resource.</summary>
    public ResourceType Type => type;

    /// <summary>The argument that names the resource; -1: the grain's key does, or the cluster needs no name.</summary>
    public int NameArgument { get; init; } = -1;
}

/// <summary>The rule of a list, which leaves out what the client may not describe. Any client may ask for it.</summary>
internal sealed class FilteredListAttribute() : GrainRuleAttribute(AccessOperation.Unknown, ResourceType.Unknown);

/// <summary>The rule of a method that takes a request as its first argument: the request names its operation.</summary>
internal sealed class RuleOfRequestAttribute() : GrainRuleAttribute(AccessOperation.Unknown, ResourceType.Group);
