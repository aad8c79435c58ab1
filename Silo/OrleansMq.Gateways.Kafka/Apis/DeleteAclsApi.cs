using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Security;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 31: deletes the rules that filters select (KIP-140, KIP-290).</summary>
internal sealed class DeleteAclsApi() : KafkaApi<DeleteAclsRequest>(ApiKey.DeleteAcls, 1, 3, flexibleFrom: 2)
{
    // Each is compared with every rule.
    private const int MaxFilters = 1_000;

    protected override DeleteAclsRequest Read(ref RequestReader reader, short version)
    {
        var filters = new AclFilter[reader.ReadArrayLength(7)];
        if (filters.Length > MaxFilters)
            return reader.Fail($"a request has more than {MaxFilters} filters", new DeleteAclsRequest([]));
        for (var index = 0; index < filters.Length; index++)
        {
            filters[index] = AclFields.ReadFilter(ref reader);
            reader.SkipTags();
        }
        return new DeleteAclsRequest(filters);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, DeleteAclsRequest request, ResponseWriter response)
    {
        var known = request.Filters.Where(static filter => !filter.HasUnknown).ToArray();
        var deleted = new Queue<IReadOnlyList<AclRule>>();
        var (error, message) = (ErrorCode.None, (string?)null);
        try
        {
            deleted = new(await context.Security.DeleteAclsAsync(known, context.Aborted).ConfigureAwait(false));
        }
        catch (BrokerException refused)
        {
            (error, message) = (refused.Code, refused.Message);
        }
        response.WriteThrottle();
        response.WriteLength(request.Filters.Length);
        foreach (var filter in request.Filters)
        {
            var isUnknown = filter.HasUnknown && error is ErrorCode.None;
            response.WriteError(isUnknown ? ErrorCode.InvalidRequest : error);
            response.WriteString(isUnknown ? AclFields.UnknownFilter : message);
            WriteRules(response, filter.HasUnknown || error is not ErrorCode.None ? [] : deleted.Dequeue());
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    private static void WriteRules(ResponseWriter response, IReadOnlyList<AclRule> rules)
    {
        response.WriteLength(rules.Count);
        foreach (var rule in rules)
        {
            response.WriteError(ErrorCode.None);
            response.WriteString(null);
            response.WriteInt8((sbyte)rule.ResourceType);
            response.WriteString(rule.ResourceName);
            response.WriteInt8((sbyte)rule.Pattern);
            response.WriteString(rule.Principal);
            response.WriteString(rule.Host);
            response.WriteInt8((sbyte)rule.Operation);
            response.WriteInt8((sbyte)rule.Permission);
            response.WriteNoTags();
        }
    }
}

/// <summary>The body.</summary>
/// <param name="Filters">Each selects rules to delete.</param>
internal sealed record DeleteAclsRequest(AclFilter[] Filters);
