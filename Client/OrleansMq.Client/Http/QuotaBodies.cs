using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Quotas;

namespace OrleansMq.Client;

/// <summary>The limits of a user, a client id, both, or an address, in the answer of <c>GET /api/quotas</c>. An empty name is the default:
/// every one without a limit of its own.</summary>
internal sealed record QuotaBody(string? User, string? ClientId, string? Ip, IReadOnlyDictionary<string, double> Limits)
{
    /// <summary>Converts limits to a body.</summary>
    public static QuotaBody Of(EntityQuotas quotas) => new(quotas.Entity.User, quotas.Entity.ClientId, quotas.Entity.Ip,
        new SortedDictionary<string, double>(quotas.Limits.ToDictionary(static one => one.Key.Name(), static one => one.Value),
            StringComparer.Ordinal));
}

/// <summary>Changes of one entity's limits.</summary>
/// <param name="Limits">New limits by key; null removes one.</param>
/// <param name="User">The user's name; empty: the default.</param>
/// <param name="ClientId">The client's id; empty: the default.</param>
/// <param name="Ip">The address; empty: the default.</param>
internal sealed record QuotaChangeBody(IReadOnlyDictionary<string, double?> Limits, string? User = null, string? ClientId = null,
    string? Ip = null);

/// <summary>The body of <c>POST /api/quotas</c>.</summary>
internal sealed record AlterQuotasBody(IReadOnlyList<QuotaChangeBody> Changes);

/// <summary>What one broker has counted of a limit, in the answer of <c>GET /api/quotas/usage</c>.</summary>
/// <param name="Quota">The key of the limit.</param>
/// <param name="User">The user; null: all.</param>
/// <param name="ClientId">The client's id; null: all.</param>
/// <param name="Ip">The address; null for none.</param>
/// <param name="Limit">The limit of the cluster.</param>
/// <param name="Share">This broker's share of it.</param>
/// <param name="Used">What was used on this broker in the last ten seconds, a second.</param>
/// <param name="HeldForSeconds">How long clients are held back from now on.</param>
internal sealed record QuotaUsageBody(string Quota, string? User, string? ClientId, string? Ip, double Limit, double Share, double Used,
    double HeldForSeconds)
{
    /// <summary>Converts an account to a body.</summary>
    public static QuotaUsageBody Of(QuotaUsage usage) => new(usage.Key.Name(), usage.Scope.User, usage.Scope.ClientId, usage.Scope.Ip,
        usage.Limit, usage.Share, usage.Used, usage.Wait.TotalSeconds);
}

/// <summary>The JSON of <c>/api/quotas</c>, for server and client.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(IReadOnlyList<QuotaBody>))]
[JsonSerializable(typeof(IReadOnlyList<QuotaUsageBody>))]
[JsonSerializable(typeof(AlterQuotasBody))]
internal sealed partial class QuotaApiJson : JsonSerializerContext;
