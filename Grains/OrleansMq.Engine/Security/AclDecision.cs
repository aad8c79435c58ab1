namespace OrleansMq.Security;

/// <summary>Why an operation is allowed or refused.</summary>
public enum AclReason
{
    /// <summary>Not known.</summary>
    Unknown = 0,
    /// <summary>The principal is a super user.</summary>
    SuperUser = 1,
    /// <summary>A rule denies it.</summary>
    Denied = 2,
    /// <summary>A rule allows it, and none denies it.</summary>
    Allowed = 3,
    /// <summary>Rules are about the resource, but none allows it.</summary>
    NoMatch = 4,
    /// <summary>No rule is about the resource.</summary>
    NoRules = 5,
}

/// <summary>A decision of access control.</summary>
/// <param name="IsAllowed">Whether the operation is allowed.</param>
/// <param name="Reason">Why.</param>
/// <param name="Rule">The rule that decided; null where none did.</param>
internal sealed record AclDecision(bool IsAllowed, AclReason Reason, AclRule? Rule = null);
