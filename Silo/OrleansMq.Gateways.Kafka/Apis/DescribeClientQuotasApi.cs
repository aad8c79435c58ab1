using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Quotas;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 48: describes the quotas of users, clients and addresses (KIP-546).</summary>
internal sealed class DescribeClientQuotasApi()
    : KafkaApi<DescribeClientQuotasRequest>(ApiKey.DescribeClientQuotas, 0, 1, flexibleFrom: 1)
{
    protected override DescribeClientQuotasRequest Read(ref RequestReader reader, short version)
    {
        var parts = new QuotaFilterPart[reader.ReadArrayLength(elementBytes: 3)];
        for (var index = 0; index < parts.Length; index++)
        {
            parts[index] = new QuotaFilterPart(reader.ReadString(), (QuotaMatchType)reader.ReadInt8(), reader.ReadNullableString());
            reader.SkipTags();
        }
        return new DescribeClientQuotasRequest(new QuotaFilter(parts, reader.ReadBool()));
    }

    protected override ValueTask<bool> AnswerAsync(RequestContext context, DescribeClientQuotasRequest request, ResponseWriter response)
    {
        var (error, message) = (ErrorCode.None, (string?)null);
        IReadOnlyList<EntityQuotas>? found = null;
        try
        {
            found = context.Access.QuotaAdministration.List(request.Filter);
        }
        catch (BrokerException refused)
        {
            (error, message) = (refused.Code, refused.Message);
        }
        response.WriteThrottle();
        response.WriteError(error);
        response.WriteString(message);
        response.WriteLength(found?.Count ?? -1);
        foreach (var one in found ?? [])
            Write(response, one);
        response.WriteNoTags();
        return Answered;
    }

    private static void Write(ResponseWriter response, EntityQuotas quotas)
    {
        QuotaEntities.Write(response, QuotaEntities.PartsOf(quotas.Entity));
        response.WriteLength(quotas.Limits.Count);
        foreach (var (key, limit) in quotas.Limits)
        {
            response.WriteString(key.Name());
            response.WriteDouble(limit);
            response.WriteNoTags();
        }
        response.WriteNoTags();
    }
}

/// <summary>The body.</summary>
internal sealed record DescribeClientQuotasRequest(QuotaFilter Filter);
