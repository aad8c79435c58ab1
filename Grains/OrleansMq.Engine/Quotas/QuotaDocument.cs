using System.Collections.Immutable;
using System.Text.Json.Serialization;
using OrleansMq.State;

namespace OrleansMq.Quotas;

/// <summary>The document with all quotas.</summary>
/// <param name="Version">Rises with each change.</param>
/// <param name="Id">Another with each change.</param>
/// <param name="Quotas">The entities with their limits.</param>
internal sealed record QuotaDocument(long Version, Guid Id, ImmutableArray<StoredQuotas> Quotas) : IFollowedDocument
{
    /// <summary>The document's key in the state store.</summary>
    public const string Key = "security/quotas";

    /// <summary>The document before the first change.</summary>
    public static QuotaDocument Empty { get; } = new(0, Guid.Empty, []);

    /// <summary>The document of the next version, with other quotas.</summary>
    public QuotaDocument With(IEnumerable<EntityQuotas> quotas) =>
        new(Version + 1, Guid.NewGuid(), [.. quotas.Select(StoredQuotas.Of)]);

    /// <summary>The entities with their limits. Keys that a later version has added are passed over.</summary>
    public IEnumerable<EntityQuotas> Entities() => Quotas.Select(static one => one.ToEntity());
}

/// <summary>The limits of one entity, as they are stored: by Kafka's names.</summary>
internal sealed record StoredQuotas(string? User, string? ClientId, string? Ip, ImmutableSortedDictionary<string, double> Limits)
{
    /// <summary>The stored form.</summary>
    public static StoredQuotas Of(EntityQuotas quotas) => new(quotas.Entity.User, quotas.Entity.ClientId, quotas.Entity.Ip,
        quotas.Limits.ToImmutableSortedDictionary(static one => one.Key.Name(), static one => one.Value, StringComparer.Ordinal));

    /// <summary>The limits.</summary>
    public EntityQuotas ToEntity() => new(new QuotaEntity(User, ClientId, Ip), Limits
        .Where(static one => QuotaKeys.TryParse(one.Key, out var key) && QuotaKeys.FaultOf(key, one.Value) is null)
        .ToImmutableSortedDictionary(static one => QuotaKeys.TryParse(one.Key, out var key) ? key : default, static one => one.Value));
}

/// <summary>The JSON of the document.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(QuotaDocument))]
internal sealed partial class QuotaJson : JsonSerializerContext;
