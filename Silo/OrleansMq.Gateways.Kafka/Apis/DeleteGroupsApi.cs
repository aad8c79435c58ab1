using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 42: deletes groups without members, with their offsets.</summary>
internal sealed class DeleteGroupsApi() : KafkaApi<DeleteGroupsRequest>(ApiKey.DeleteGroups, 0, 2, flexibleFrom: 2)
{
    protected override DeleteGroupsRequest Read(ref RequestReader reader, short version) => new(reader.ReadStringArray());

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, DeleteGroupsRequest request, ResponseWriter response)
    {
        response.WriteThrottle();
        response.WriteLength(request.GroupIds.Length);
        foreach (var groupId in request.GroupIds)
        {
            response.WriteString(groupId);
            response.WriteError(await DeleteAsync(context, groupId).ConfigureAwait(false));
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    private static async ValueTask<ErrorCode> DeleteAsync(RequestContext context, string groupId)
    {
        try
        {
            await context.Broker.Groups.DeleteGroupAsync(groupId, context.Aborted).ConfigureAwait(false);
            return ErrorCode.None;
        }
        catch (BrokerException refused)
        {
            return refused.Code;
        }
    }
}

/// <summary>The body.</summary>
internal sealed record DeleteGroupsRequest(string[] GroupIds);
