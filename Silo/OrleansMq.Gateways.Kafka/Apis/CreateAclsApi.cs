using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Security;
using OrleansMq.Gateways.Kafka.Wire;
using OrleansMq.Security;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 30: creates rules (KIP-140, KIP-290). Those that are malformed are refused each by itself; the others are created
/// together.</summary>
internal sealed class CreateAclsApi() : KafkaApi<CreateAclsRequest>(ApiKey.CreateAcls, 1, 3, flexibleFrom: 2)
{
    protected override CreateAclsRequest Read(ref RequestReader reader, short version)
    {
        var rules = new AclRule[reader.ReadArrayLength(8)];
        for (var index = 0; index < rules.Length; index++)
            rules[index] = AclFields.ReadRule(ref reader);
        return new CreateAclsRequest(rules);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, CreateAclsRequest request, ResponseWriter response)
    {
        var faults = request.Rules.Select(static rule => rule.Fault()).ToArray();
        var (error, message) = (ErrorCode.None, (string?)null);
        try
        {
            await context.Security.CreateAclsAsync([.. request.Rules.Where((_, index) => faults[index] is null)], context.Aborted)
                .ConfigureAwait(false);
        }
        catch (BrokerException refused)
        {
            (error, message) = (refused.Code, refused.Message);
        }
        response.WriteThrottle();
        response.WriteLength(faults.Length);
        foreach (var fault in faults)
        {
            // What a client may not do is said first.
            var isMalformed = fault is not null && error is ErrorCode.None;
            response.WriteError(isMalformed ? ErrorCode.InvalidRequest : error);
            response.WriteString(isMalformed ? fault : message);
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }
}

/// <summary>The body.</summary>
/// <param name="Rules">The new rules.</param>
internal sealed record CreateAclsRequest(AclRule[] Rules);
