using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Writes the current leader into the answer of a broker that does not lead a partition, so that the client need not ask for
/// metadata (KIP-951).</summary>
internal static class LeaderTags
{
    /// <summary>Writes a partition's <c>CurrentLeader</c>.</summary>
    public static void WriteCurrentLeader(ResponseWriter response, int tag, int leader, int epoch) =>
        response.WriteTag(tag, (leader, epoch), static (content, current) =>
        {
            content.WriteInt32(current.leader);
            content.WriteInt32(current.epoch);
            content.WriteNoTags();
        });

    /// <summary>Writes the response's <c>NodeEndpoints</c>, the endpoints of those leaders. Ends the structure.</summary>
    /// <param name="response">The response.</param>
    /// <param name="tag">The tag of the field.</param>
    /// <param name="context">The request.</param>
    /// <param name="leaders">The brokers that were named, -1 for none.</param>
    public static void WriteNodeEndpoints(ResponseWriter response, int tag, RequestContext context, IEnumerable<int> leaders)
    {
        var endpoints = leaders.Where(static leader => leader >= 0).Distinct()
            .Select(leader => context.Services.Endpoints.Find(leader, context.Connection))
            .OfType<BrokerEndpoint>().ToArray();
        if (endpoints.Length == 0)
        {
            response.WriteNoTags();
            return;
        }
        response.WriteTagCount(1);
        response.WriteTag(tag, endpoints, static (content, named) =>
        {
            content.WriteLength(named.Length);
            foreach (var endpoint in named)
            {
                content.WriteInt32(endpoint.BrokerId);
                content.WriteString(endpoint.Host);
                content.WriteInt32(endpoint.Port);
                content.WriteString(endpoint.Rack);
                content.WriteNoTags();
            }
        });
    }
}
