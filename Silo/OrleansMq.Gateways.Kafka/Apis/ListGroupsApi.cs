using OrleansMq.Api;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 16: lists the cluster's groups. Clients ask every broker and merge the answers, so only one broker answers with
/// groups.</summary>
internal sealed class ListGroupsApi() : KafkaApi<ListGroupsRequest>(ApiKey.ListGroups, 0, 5, flexibleFrom: 3)
{
    protected override ListGroupsRequest Read(ref RequestReader reader, short version) =>
        new(version >= 4 ? reader.ReadStringArray() : [], version >= 5 ? reader.ReadStringArray() : []);

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, ListGroupsRequest request, ResponseWriter response)
    {
        var (error, groups) = await ListAsync(context, request).ConfigureAwait(false);
        if (context.Version >= 1)
            response.WriteThrottle();
        response.WriteError(error);
        response.WriteLength(groups.Count);
        foreach (var group in groups)
        {
            response.WriteString(group.GroupId);
            response.WriteString(group.ProtocolType);
            if (context.Version >= 4)
                response.WriteString(group.State.ToString());
            if (context.Version >= 5)
                response.WriteString(group.Type is GroupType.Consumer or GroupType.Share ? group.Type.ToString() : "Classic");
            response.WriteNoTags();
        }
        response.WriteNoTags();
        return true;
    }

    private static async ValueTask<(ErrorCode Error, IReadOnlyList<GroupListing> Groups)> ListAsync(RequestContext context,
        ListGroupsRequest request)
    {
        try
        {
            if (!context.Services.Endpoints.AnswersForAll(context.Connection))
                return (ErrorCode.None, []);
            var groups = await context.Broker.Groups.ListGroupsAsync(context.Aborted).ConfigureAwait(false);
            return (ErrorCode.None,
                [.. groups.Where(group => Matches(request.States, group.State.ToString())
                    && Matches(request.Types, group.Type.ToString()))]);
        }
        catch (BrokerException refused)
        {
            return (refused.Code, []);
        }
    }

    private static bool Matches(string[] filter, string value) =>
        filter.Length == 0 || filter.Contains(value, StringComparer.OrdinalIgnoreCase);
}

/// <summary>The body; an empty filter matches all groups.</summary>
internal sealed record ListGroupsRequest(string[] States, string[] Types);
