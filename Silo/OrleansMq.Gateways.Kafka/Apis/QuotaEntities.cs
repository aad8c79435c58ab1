using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Quotas;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>A part of an entity with quotas, as it is sent.</summary>
/// <param name="Type">Its kind.</param>
/// <param name="Name">Its name; null: the default.</param>
internal readonly record struct QuotaEntityPart(string Type, string? Name);

/// <summary>Entities with quotas, on the wire.</summary>
internal static class QuotaEntities
{
    /// <summary>Reads an entity.</summary>
    public static QuotaEntityPart[] Read(ref RequestReader reader)
    {
        var parts = new QuotaEntityPart[reader.ReadArrayLength(elementBytes: 2)];
        for (var index = 0; index < parts.Length; index++)
        {
            parts[index] = new QuotaEntityPart(reader.ReadString(), reader.ReadNullableString());
            reader.SkipTags();
        }
        return parts;
    }

    /// <summary>Writes an entity.</summary>
    public static void Write(ResponseWriter response, IReadOnlyCollection<QuotaEntityPart> parts)
    {
        response.WriteLength(parts.Count);
        foreach (var part in parts)
        {
            response.WriteString(part.Type);
            response.WriteString(part.Name);
            response.WriteNoTags();
        }
    }

    /// <summary>The parts of an entity.</summary>
    public static QuotaEntityPart[] PartsOf(QuotaEntity entity) =>
        [.. entity.Parts.Select(static part => new QuotaEntityPart(part.Type, part.Name == QuotaEntity.Default ? null : part.Name))];

    /// <summary>Makes an entity of its parts.</summary>
    /// <returns>What is wrong; null if nothing is.</returns>
    public static string? Parse(IReadOnlyCollection<QuotaEntityPart> parts, out QuotaEntity entity)
    {
        entity = default;
        foreach (var part in parts)
        {
            if (part.Name == QuotaEntity.Default)
                return $"The name of a {part.Type} is empty: give null for the default.";
            if (part.Type is not (QuotaEntity.UserType or QuotaEntity.ClientIdType or QuotaEntity.IpType))
                return $"The entity type is '{part.Type}'; allowed are user, client-id and ip.";
            if (entity.PartOf(part.Type) is not null)
                return $"The entity has two names of the type {part.Type}.";
            var name = part.Name ?? QuotaEntity.Default;
            entity = part.Type switch
            {
                QuotaEntity.UserType => entity with { User = name },
                QuotaEntity.ClientIdType => entity with { ClientId = name },
                _ => entity with { Ip = name },
            };
        }
        return entity.Fault();
    }
}
