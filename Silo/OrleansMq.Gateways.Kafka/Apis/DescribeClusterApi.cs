using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 60: describes the cluster and its brokers. As Metadata does, it tells every client where the brokers are.</summary>
internal sealed class DescribeClusterApi() : KafkaApi<DescribeClusterRequest>(ApiKey.DescribeCluster, 0, 2, flexibleFrom: 0)
{
    // The endpoints of brokers. As in Kafka, clients cannot reach those of controllers (2).
    private const sbyte Brokers = 1;

    // Kafka's code for a type of endpoint that the broker does not have.
    private const ErrorCode UnsupportedEndpointType = (ErrorCode)115;

    protected override DescribeClusterRequest Read(ref RequestReader reader, short version)
    {
        var includeOperations = reader.ReadBool();
        var type = version >= 1 ? reader.ReadInt8() : Brokers;
        if (version >= 2)
            reader.ReadBool(); // Whether to include fenced brokers: brokers that clients cannot reach are never listed.
        return new DescribeClusterRequest(includeOperations, type);
    }

    protected override ValueTask<bool> AnswerAsync(RequestContext context, DescribeClusterRequest request, ResponseWriter response)
    {
        var isKnown = request.EndpointType == Brokers;
        var brokers = isKnown ? context.Services.Endpoints.All(context.Connection).ToArray() : [];
        var controller = context.Services.Metadata.Image.Controller;
        response.WriteThrottle();
        response.WriteError(isKnown ? ErrorCode.None : UnsupportedEndpointType);
        response.WriteString(isKnown ? null
            : $"Endpoint type {request.EndpointType} is not supported, only that of brokers (1).");
        if (context.Version >= 1)
            response.WriteInt8(request.EndpointType);
        response.WriteString(context.Services.ClusterId);
        response.WriteInt32(brokers.Any(broker => broker.BrokerId == controller)
            ? controller : brokers.Select(static broker => broker.BrokerId).DefaultIfEmpty(-1).Min());
        response.WriteLength(brokers.Length);
        foreach (var broker in brokers)
        {
            response.WriteInt32(broker.BrokerId);
            response.WriteString(broker.Host);
            response.WriteInt32(broker.Port);
            response.WriteString(broker.Rack);
            if (context.Version >= 2)
                response.WriteBool(false);
            response.WriteNoTags();
        }
        response.WriteInt32(request.IncludeAuthorizedOperations
            ? AuthorizedOperations.Cluster(context.Access) : AuthorizedOperations.NotAsked);
        response.WriteNoTags();
        return Answered;
    }
}

/// <summary>The body.</summary>
internal sealed record DescribeClusterRequest(bool IncludeAuthorizedOperations, sbyte EndpointType);
