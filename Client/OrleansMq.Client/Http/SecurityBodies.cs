using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Access;
using OrleansMq.Security;

namespace OrleansMq.Client;

/// <summary>A user in the answer of <c>GET /api/users</c>.</summary>
internal sealed record UserBody(string Name, IReadOnlyList<CredentialBody> Credentials)
{
    /// <summary>Converts a description to a body.</summary>
    public static UserBody Of(UserDescription user) =>
        new(user.Name, [.. user.Credentials.Select(static one => new CredentialBody(one.Mechanism.Name(), one.Iterations))]);
}

/// <summary>A credential of a user, without secrets.</summary>
/// <param name="Mechanism"><c>SCRAM-SHA-256</c> or <c>SCRAM-SHA-512</c>.</param>
/// <param name="Iterations">Iterations of its key derivation.</param>
internal sealed record CredentialBody(string Mechanism, int Iterations);

/// <summary>The body of <c>PUT /api/users/{user}</c>: a new user, or a new password.</summary>
internal sealed record PasswordBody(string Password, int Iterations = ScramCredential.MinIterations)
{
    /// <summary>Omits the password.</summary>
    public override string ToString() => nameof(PasswordBody);
}

/// <summary>A rule of access control.</summary>
internal sealed record AclBody(ResourceType ResourceType, string ResourceName, string Principal, AccessOperation Operation,
    AclPattern Pattern = AclPattern.Literal, string Host = AclRule.Anything, AclPermission Permission = AclPermission.Allow)
{
    /// <summary>Converts a rule to a body.</summary>
    public static AclBody Of(AclRule rule) => new(rule.ResourceType, rule.ResourceName, rule.Principal, rule.Operation, rule.Pattern,
        rule.Host, rule.Permission);

    /// <summary>Converts the body to a rule.</summary>
    public AclRule ToRule() => new(ResourceType, Pattern, ResourceName, Principal, Host, Operation, Permission);
}

/// <summary>The body of <c>POST /api/acls</c>.</summary>
internal sealed record CreateAclsBody(IReadOnlyList<AclBody> Rules);

/// <summary>A filter of rules; what is left out matches all.</summary>
internal sealed record AclFilterBody(ResourceType ResourceType = ResourceType.Any, string? ResourceName = null,
    AclPattern Pattern = AclPattern.Any, string? Principal = null, string? Host = null, AccessOperation Operation = AccessOperation.Any,
    AclPermission Permission = AclPermission.Any)
{
    /// <summary>Converts a filter to a body.</summary>
    public static AclFilterBody Of(AclFilter filter) => new(filter.ResourceType, filter.ResourceName, filter.Pattern, filter.Principal,
        filter.Host, filter.Operation, filter.Permission);

    /// <summary>Converts the body to a filter.</summary>
    public AclFilter ToFilter() => new(ResourceType, Pattern, ResourceName, Principal, Host, Operation, Permission);
}

/// <summary>The body of <c>POST /api/acls/list</c> and <c>POST /api/acls/delete</c>: rules that one of the filters selects.</summary>
internal sealed record AclFiltersBody(IReadOnlyList<AclFilterBody> Filters);

/// <summary>The body of <c>POST /api/acls/explain</c>.</summary>
internal sealed record ExplainBody(string Principal, AccessOperation Operation, ResourceType ResourceType,
    string ResourceName = ResourceTypes.Cluster, string Host = "");

/// <summary>The answer of <c>POST /api/acls/explain</c>.</summary>
/// <param name="IsAllowed">Whether the rules allow the operation, which decides only where they are enforced.</param>
/// <param name="Reason">Why.</param>
/// <param name="Rule">The rule that decided; null where none did.</param>
/// <param name="Authorization">Whether the broker that answers enforces rules; null: it is of a version that does not say so.</param>
internal sealed record ExplanationBody(bool IsAllowed, AclReason Reason, AclBody? Rule, AuthorizationMode? Authorization = null)
{
    /// <summary>Converts a decision to a body.</summary>
    public static ExplanationBody Of(AclDecision decision, AuthorizationMode authorization) =>
        new(decision.IsAllowed, decision.Reason, decision.Rule is { } rule ? AclBody.Of(rule) : null, authorization);
}

/// <summary>The JSON of <c>/api/users</c> and <c>/api/acls</c>, for server and client, with enumerations by name.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, UseStringEnumConverter = true)]
[JsonSerializable(typeof(IReadOnlyList<UserBody>))]
[JsonSerializable(typeof(PasswordBody))]
[JsonSerializable(typeof(CreateAclsBody))]
[JsonSerializable(typeof(AclFiltersBody))]
[JsonSerializable(typeof(IReadOnlyList<AclBody>))]
[JsonSerializable(typeof(ExplainBody))]
[JsonSerializable(typeof(ExplanationBody))]
internal sealed partial class SecurityApiJson : JsonSerializerContext;
