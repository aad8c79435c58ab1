using System.Net.Http.Json;

namespace OrleansMq.Client;

/// <summary>Users, rules and quotas over HTTP, for the command line.</summary>
internal sealed class HttpSecurity(HttpBroker broker)
{
    private const string Users = "api/users";
    private const string Acls = "api/acls";
    private const string Quotas = "api/quotas";
    private const string TicketKeys = "api/ticket-keys";

    private static SecurityApiJson Json => SecurityApiJson.Default;

    /// <summary>Lists the users.</summary>
    public ValueTask<IReadOnlyList<UserBody>> ListUsersAsync(CancellationToken cancellationToken) =>
        broker.AskAsync(HttpMethod.Get, Users, null, Json.IReadOnlyListUserBody, cancellationToken);

    /// <summary>Creates a user, or gives it another password.</summary>
    public ValueTask SetPasswordAsync(string user, PasswordBody password, CancellationToken cancellationToken) =>
        broker.TellAsync(HttpMethod.Put, PathOf(user), () => JsonContent.Create(password, Json.PasswordBody), cancellationToken);

    /// <summary>Deletes a user.</summary>
    public ValueTask DeleteUserAsync(string user, CancellationToken cancellationToken) =>
        broker.TellAsync(HttpMethod.Delete, PathOf(user), null, cancellationToken);

    /// <summary>Lists the rules that one of the filters selects.</summary>
    public ValueTask<IReadOnlyList<AclBody>> ListAclsAsync(AclFiltersBody filters, CancellationToken cancellationToken) =>
        broker.AskAsync(HttpMethod.Post, Acls + "/list", () => JsonContent.Create(filters, Json.AclFiltersBody),
            Json.IReadOnlyListAclBody, cancellationToken);

    /// <summary>Creates rules.</summary>
    public ValueTask CreateAclsAsync(CreateAclsBody rules, CancellationToken cancellationToken) =>
        broker.TellAsync(HttpMethod.Post, Acls, () => JsonContent.Create(rules, Json.CreateAclsBody), cancellationToken);

    /// <summary>Deletes the rules that one of the filters selects, and returns them.</summary>
    public ValueTask<IReadOnlyList<AclBody>> DeleteAclsAsync(AclFiltersBody filters, CancellationToken cancellationToken) =>
        broker.AskAsync(HttpMethod.Post, Acls + "/delete", () => JsonContent.Create(filters, Json.AclFiltersBody),
            Json.IReadOnlyListAclBody, cancellationToken);

    /// <summary>Returns whether a principal may do something, and why.</summary>
    public ValueTask<ExplanationBody> ExplainAsync(ExplainBody question, CancellationToken cancellationToken) =>
        broker.AskAsync(HttpMethod.Post, Acls + "/explain", () => JsonContent.Create(question, Json.ExplainBody), Json.ExplanationBody,
            cancellationToken);

    /// <summary>Lists the quotas.</summary>
    public ValueTask<IReadOnlyList<QuotaBody>> ListQuotasAsync(CancellationToken cancellationToken) =>
        broker.AskAsync(HttpMethod.Get, Quotas, null, QuotaApiJson.Default.IReadOnlyListQuotaBody, cancellationToken);

    /// <summary>Lists what was used on the broker that answers.</summary>
    public ValueTask<IReadOnlyList<QuotaUsageBody>> ListQuotaUsageAsync(CancellationToken cancellationToken) =>
        broker.AskAsync(HttpMethod.Get, Quotas + "/usage", null, QuotaApiJson.Default.IReadOnlyListQuotaUsageBody, cancellationToken);

    /// <summary>Changes quotas.</summary>
    public ValueTask AlterQuotasAsync(AlterQuotasBody changes, CancellationToken cancellationToken) =>
        broker.TellAsync(HttpMethod.Post, Quotas, () => JsonContent.Create(changes, QuotaApiJson.Default.AlterQuotasBody),
            cancellationToken);

    /// <summary>Replaces the key of tickets.</summary>
    public ValueTask ReplaceTicketKeyAsync(CancellationToken cancellationToken) =>
        broker.TellAsync(HttpMethod.Post, TicketKeys, null, cancellationToken);

    /// <summary>Drops the keys of tickets that were replaced.</summary>
    public ValueTask DropOldTicketKeysAsync(CancellationToken cancellationToken) =>
        broker.TellAsync(HttpMethod.Delete, TicketKeys + "/old", null, cancellationToken);

    private static string PathOf(string user) => Users + "/" + Uri.EscapeDataString(user);
}
