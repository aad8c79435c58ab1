using OrleansMq.Access;

namespace OrleansMq.Security;

/// <summary>Selects rules. A null matches every value.</summary>
/// <param name="ResourceType">The kind of resource; <see cref="ResourceType.Any"/> for all.</param>
/// <param name="Pattern">How the name is compared.</param>
/// <param name="ResourceName">The name.</param>
/// <param name="Principal">The principal.</param>
/// <param name="Host">The host.</param>
/// <param name="Operation">The operation; <see cref="AccessOperation.Any"/> for all.</param>
/// <param name="Permission">The permission; <see cref="AclPermission.Any"/> for both.</param>
internal sealed record AclFilter(ResourceType ResourceType = ResourceType.Any, AclPattern Pattern = AclPattern.Any,
    string? ResourceName = null, string? Principal = null, string? Host = null, AccessOperation Operation = AccessOperation.Any,
    AclPermission Permission = AclPermission.Any)
{
    /// <summary>The filter of exactly one rule.</summary>
    public static AclFilter Of(AclRule rule)
    {
        ArgumentNullException.ThrowIfNull(rule);
        return new AclFilter(rule.ResourceType, rule.Pattern, rule.ResourceName, rule.Principal, rule.Host, rule.Operation,
            rule.Permission);
    }

    /// <summary>Whether a value is unknown: such a filter is of a newer client, and selects nothing.</summary>
    public bool HasUnknown => ResourceType == ResourceType.Unknown || !Enum.IsDefined(ResourceType)
        || Pattern == AclPattern.Unknown || !Enum.IsDefined(Pattern) || Operation == AccessOperation.Unknown || !Enum.IsDefined(Operation)
        || Permission == AclPermission.Unknown || !Enum.IsDefined(Permission);

    /// <summary>Whether a rule is selected.</summary>
    public bool Selects(AclRule rule)
    {
        ArgumentNullException.ThrowIfNull(rule);
        return (ResourceType == ResourceType.Any || ResourceType == rule.ResourceType)
            && (Principal is null || Principal == rule.Principal) && (Host is null || Host == rule.Host)
            && (Operation == AccessOperation.Any || Operation == rule.Operation)
            && (Permission == AclPermission.Any || Permission == rule.Permission)
            && SelectsResource(rule);
    }

    private bool SelectsResource(AclRule rule) => Pattern switch
    {
        AclPattern.Any => ResourceName is null || ResourceName == rule.ResourceName,
        AclPattern.Match => ResourceName is null || rule.Covers(ResourceName),
        _ => Pattern == rule.Pattern && (ResourceName is null || ResourceName == rule.ResourceName),
    };
}
