using System.Net;
using OrleansMq.Access;

namespace OrleansMq.Security;

/// <summary>How a rule's name stands for resources, with its number in Kafka's protocol (KIP-290).</summary>
public enum AclPattern : sbyte
{
    /// <summary>Not known.</summary>
    Unknown = 0,
    /// <summary>In a filter: any pattern with exactly that name.</summary>
    Any = 1,
    /// <summary>In a filter: all rules that apply to the resource of that name.</summary>
    Match = 2,
    /// <summary>The resource of that name; <see cref="AclRule.Anything"/> is every resource.</summary>
    Literal = 3,
    /// <summary>Every resource whose name begins so.</summary>
    Prefixed = 4,
}

/// <summary>What a rule decides, with its number in Kafka's protocol.</summary>
public enum AclPermission : sbyte
{
    /// <summary>Not known.</summary>
    Unknown = 0,
    /// <summary>Either, in a filter.</summary>
    Any = 1,
    /// <summary>The operation is refused, whatever other rules allow.</summary>
    Deny = 2,
    /// <summary>The operation is allowed, unless another rule denies it.</summary>
    Allow = 3,
}

/// <summary>A rule of Kafka's access control: who may, or may not, do what with which resources.</summary>
/// <param name="ResourceType">The kind of resource.</param>
/// <param name="Pattern"><see cref="AclPattern.Literal"/> or <see cref="AclPattern.Prefixed"/>.</param>
/// <param name="ResourceName">The name, or how it begins.</param>
/// <param name="Principal">Type and name, such as <c>User:alice</c>; <see cref="AnyUser"/> for all.</param>
/// <param name="Host">The address that the client calls from; <see cref="Anything"/> for all.</param>
/// <param name="Operation">The operation; <see cref="AccessOperation.All"/> for every one.</param>
/// <param name="Permission"><see cref="AclPermission.Allow"/> or <see cref="AclPermission.Deny"/>.</param>
internal sealed record AclRule(ResourceType ResourceType, AclPattern Pattern, string ResourceName, string Principal, string Host,
    AccessOperation Operation, AclPermission Permission)
{
    /// <summary>The name that stands for every resource, and the host that stands for every address.</summary>
    public const string Anything = ResourceTypes.Every;

    /// <summary>The principal that stands for every user.</summary>
    public const string AnyUser = "User:*";

    // No name of a resource is longer.
    private const int MaxNameLength = 1_024;

    /// <summary>Whether a resource of the rule's type is one that the rule is about.</summary>
    public bool Covers(string name) => Pattern == AclPattern.Prefixed
        ? name.StartsWith(ResourceName, StringComparison.Ordinal)
        : ResourceName == Anything || ResourceName == name;

    /// <summary>Whether the rule is about a caller. A caller whose address is not known may call from any: every denial is about it, and of
    /// grants those for every address.</summary>
    public bool IsAbout(string principal, string host) => (Principal == AnyUser || Principal == principal)
        && (Host == Anything || Host == host || (host.Length == 0 && Permission == AclPermission.Deny));

    /// <summary>Whether the rule decides an operation. A grant of reading, writing, deleting or altering includes the description; a
    /// denial includes nothing else.</summary>
    public bool Decides(AccessOperation operation) => Operation == operation || Operation == AccessOperation.All
        || (Permission == AclPermission.Allow && operation switch
        {
            AccessOperation.Describe => Operation is AccessOperation.Read or AccessOperation.Write or AccessOperation.Delete
                or AccessOperation.Alter,
            AccessOperation.DescribeConfigs => Operation == AccessOperation.AlterConfigs,
            _ => false,
        });

    /// <summary>Returns what is wrong with the rule; null if nothing is.</summary>
    public string? Fault() =>
        ResourceType is ResourceType.Unknown or ResourceType.Any || !Enum.IsDefined(ResourceType)
            ? $"The resource type is {ResourceType}; allowed are Topic, Group, Cluster, TransactionalId, DelegationToken and User."
        : Pattern is not (AclPattern.Literal or AclPattern.Prefixed)
            ? $"The pattern type is {Pattern}; allowed are Literal and Prefixed."
        : ResourceName.Length is 0 or > MaxNameLength
            ? $"The resource name has {ResourceName.Length} characters; allowed are 1 to {MaxNameLength}."
        : ResourceType == ResourceType.Cluster && ResourceName is not (ResourceTypes.Cluster or Anything)
            ? $"The cluster's resource name is '{ResourceTypes.Cluster}', not '{ResourceName}'."
        : PrincipalFault(Principal) is { } fault ? fault
        : Host != Anything && (!IPAddress.TryParse(Host, out var address) || address.ToString() != Host)
            ? $"The host is '{Host}'; give an IP address in its usual form, such as 10.0.0.7 or 2001:db8::1, or * for all."
        : Operation is AccessOperation.Unknown or AccessOperation.Any || !Enum.IsDefined(Operation)
            ? $"The operation is {Operation}, which no rule can have."
        : Permission is not (AclPermission.Allow or AclPermission.Deny)
            ? $"The permission is {Permission}; allowed are Allow and Deny."
        : null;

    /// <summary>The rule as a sentence part, such as <c>Allow User:alice Read on Topic 'orders' from *</c>.</summary>
    public override string ToString() =>
        $"{Permission} {Principal} {Operation} on {ResourceType} '{ResourceName}{(Pattern == AclPattern.Prefixed ? "…" : "")}' from {Host}";

    /// <summary>Returns what is wrong with the text of a principal; null if nothing is.</summary>
    internal static string? PrincipalFault(string principal) =>
        principal.Length <= MaxNameLength && principal.IndexOf(':', StringComparison.Ordinal) is > 0 and var colon
            && colon < principal.Length - 1 && !principal.Any(char.IsControl)
            ? null
            : $"The principal is '{principal}'; give a type and a name, such as User:alice, of at most {MaxNameLength} "
                + "characters.";
}
