using OrleansMq.Access;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Quotas;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 49: sets and removes quotas of users, clients and addresses (KIP-546). The entries that are not refused are changed
/// together.</summary>
internal sealed class AlterClientQuotasApi() : KafkaApi<AlterClientQuotasRequest>(ApiKey.AlterClientQuotas, 0, 1, flexibleFrom: 1)
{
    protected override AlterClientQuotasRequest Read(ref RequestReader reader, short version)
    {
        var entries = new AlteredQuotas[reader.ReadArrayLength(elementBytes: 2)];
        for (var index = 0; index < entries.Length; index++)
        {
            var entity = QuotaEntities.Read(ref reader);
            var operations = new QuotaOperation[reader.ReadArrayLength(elementBytes: 10)];
            for (var other = 0; other < operations.Length; other++)
            {
                operations[other] = new QuotaOperation(reader.ReadString(), reader.ReadDouble(), reader.ReadBool());
                reader.SkipTags();
            }
            entries[index] = new AlteredQuotas(entity, operations);
            reader.SkipTags();
        }
        return new AlterClientQuotasRequest(entries, reader.ReadBool());
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, AlterClientQuotasRequest request, ResponseWriter response)
    {
        var changes = new List<QuotaChange>();
        var faults = new (ErrorCode Error, string? Message)[request.Entries.Length];
        var isAllowed = context.Access.Authorizes(AccessOperation.AlterConfigs, ResourceType.Cluster);
        for (var index = 0; index < faults.Length; index++)
        {
            faults[index] = !isAllowed ? (ErrorCode.ClusterAuthorizationFailed,
                    context.Access.RefusalOf(AccessOperation.AlterConfigs, ResourceType.Cluster))
                : Parse(request.Entries[index], changes) is { } fault ? (ErrorCode.InvalidRequest, fault) : (ErrorCode.None, null);
        }
        if (changes.Count > 0 && !request.ValidateOnly
            && await AlterAsync(context, changes).ConfigureAwait(false) is { } refusal)
            faults = [.. faults.Select(fault => fault.Error == ErrorCode.None ? refusal : fault)];
        response.WriteThrottle();
        response.WriteLength(faults.Length);
        for (var index = 0; index < faults.Length; index++)
        {
            response.WriteError(faults[index].Error);
            response.WriteString(faults[index].Message);
            QuotaEntities.Write(response, request.Entries[index].Entity);
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    private static async ValueTask<(ErrorCode, string?)?> AlterAsync(RequestContext context, List<QuotaChange> changes)
    {
        try
        {
            await context.Access.QuotaAdministration.AlterAsync(changes, context.Aborted).ConfigureAwait(false);
            return null;
        }
        catch (BrokerException refused)
        {
            return (refused.Code, refused.Message);
        }
    }

    private static string? Parse(AlteredQuotas entry, List<QuotaChange> changes)
    {
        if (QuotaEntities.Parse(entry.Entity, out var entity) is { } fault)
            return fault;
        if (changes.Any(change => change.Entity == entity))
            return $"The request has two entries of {entity}.";
        var limits = new Dictionary<QuotaKey, double?>();
        foreach (var operation in entry.Operations)
        {
            if (!QuotaKeys.TryParse(operation.Key, out var key))
                return $"There is no quota '{operation.Key}'; allowed are {string.Join(", ", QuotaKeys.All.Select(QuotaKeys.Name))}.";
            if (!limits.TryAdd(key, operation.Removes ? null : operation.Value))
                return $"The quota {operation.Key} is given twice.";
        }
        var change = new QuotaChange(entity, limits);
        if (change.Fault() is { } wrong)
            return wrong;
        changes.Add(change);
        return null;
    }
}

/// <summary>A limit to set or remove.</summary>
internal readonly record struct QuotaOperation(string Key, double Value, bool Removes);

/// <summary>The changes of one entity.</summary>
internal sealed record AlteredQuotas(QuotaEntityPart[] Entity, QuotaOperation[] Operations);

/// <summary>The body.</summary>
internal sealed record AlterClientQuotasRequest(AlteredQuotas[] Entries, bool ValidateOnly);
