using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Security;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 29: lists the rules that a filter selects (KIP-140, KIP-290).</summary>
internal sealed class DescribeAclsApi() : KafkaApi<AclFilter>(ApiKey.DescribeAcls, 1, 3, flexibleFrom: 2)
{
    protected override AclFilter Read(ref RequestReader reader, short version) => AclFields.ReadFilter(ref reader);

    protected override ValueTask<bool> AnswerAsync(RequestContext context, AclFilter request, ResponseWriter response)
    {
        var (error, message, rules) = List(context, request);
        response.WriteThrottle();
        response.WriteError(error);
        response.WriteString(message);
        var resources = rules.GroupBy(static rule => (rule.ResourceType, rule.ResourceName, rule.Pattern)).ToArray();
        response.WriteLength(resources.Length);
        foreach (var resource in resources)
        {
            response.WriteInt8((sbyte)resource.Key.ResourceType);
            response.WriteString(resource.Key.ResourceName);
            response.WriteInt8((sbyte)resource.Key.Pattern);
            response.WriteLength(resource.Count());
            foreach (var rule in resource)
            {
                response.WriteString(rule.Principal);
                response.WriteString(rule.Host);
                response.WriteInt8((sbyte)rule.Operation);
                response.WriteInt8((sbyte)rule.Permission);
                response.WriteNoTags();
            }
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return Answered;
    }

    private static (ErrorCode Error, string? Message, IReadOnlyList<AclRule> Rules) List(RequestContext context, AclFilter filter)
    {
        try
        {
            return filter.HasUnknown ? (ErrorCode.InvalidRequest, AclFields.UnknownFilter, [])
                : (ErrorCode.None, null, context.Security.ListAcls(filter));
        }
        catch (BrokerException refused)
        {
            return (refused.Code, refused.Message, []);
        }
    }
}
