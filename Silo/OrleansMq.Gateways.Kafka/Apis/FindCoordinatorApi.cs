using OrleansMq.Gateways.Kafka.Partitions;
using OrleansMq.Gateways.Kafka.Requests;
using OrleansMq.Gateways.Kafka.Wire;

namespace OrleansMq.Gateways.Kafka.Apis;

/// <summary>Key 10: finds the broker that coordinates a group, or the transactions of a transactional id.</summary>
internal sealed class FindCoordinatorApi() : KafkaApi<FindCoordinatorRequest>(ApiKey.FindCoordinator, 0, 6, flexibleFrom: 3)
{
    private const sbyte Group = 0;
    private const sbyte Transaction = 1;

    protected override FindCoordinatorRequest Read(ref RequestReader reader, short version)
    {
        if (version >= 4)
            return new FindCoordinatorRequest(reader.ReadInt8(), reader.ReadStringArray());
        var key = reader.ReadString();
        return new FindCoordinatorRequest(version >= 1 ? reader.ReadInt8() : Group, [key]);
    }

    protected override async ValueTask<bool> AnswerAsync(RequestContext context, FindCoordinatorRequest request, ResponseWriter response)
    {
        if (context.Version >= 1)
            response.WriteThrottle();
        if (context.Version < 4)
        {
            Write(response, await FindAsync(context, request.KeyType, request.Keys[0]).ConfigureAwait(false));
        }
        else
        {
            response.WriteLength(request.Keys.Length);
            foreach (var key in request.Keys)
                WriteKeyed(response, key, await FindAsync(context, request.KeyType, key).ConfigureAwait(false));
        }
        response.WriteNoTags();
        return true;
    }

    private static async ValueTask<FoundCoordinator> FindAsync(RequestContext context, sbyte type, string key)
    {
        if (type is not (Group or Transaction))
            return new FoundCoordinator(ErrorCode.InvalidRequest,
                $"Coordinators exist for groups (0) and transactions (1), not for type {type}.", null);
        try
        {
            var broker = await (type == Group ? context.Broker.Groups.FindCoordinatorAsync(key, context.Aborted)
                : context.Broker.Transactions.FindCoordinatorAsync(key, context.Aborted)).ConfigureAwait(false);
            return context.Services.Endpoints.Find(broker, context.Connection) is { } endpoint
                ? new FoundCoordinator(ErrorCode.None, null, endpoint)
                : new FoundCoordinator(ErrorCode.CoordinatorNotAvailable,
                    $"Broker {broker} coordinates '{key}' but has no known Kafka listener. Retry.", null);
        }
        catch (BrokerException refused)
        {
            // The one that all clients look up again.
            return new FoundCoordinator(refused.Code.Action() == ErrorAction.Retry ? ErrorCode.CoordinatorNotAvailable : refused.Code,
                refused.Message, null);
        }
    }

    private static void Write(ResponseWriter response, in FoundCoordinator found)
    {
        response.WriteError(found.Error);
        if (response.Version >= 1)
            response.WriteString(found.Message);
        WriteNode(response, found);
    }

    private static void WriteKeyed(ResponseWriter response, string key, in FoundCoordinator found)
    {
        response.WriteString(key);
        WriteNode(response, found);
        response.WriteError(found.Error);
        response.WriteString(found.Message);
        response.WriteNoTags();
    }

    private static void WriteNode(ResponseWriter response, in FoundCoordinator found)
    {
        response.WriteInt32(found.Endpoint?.BrokerId ?? -1);
        response.WriteString(found.Endpoint?.Host ?? "");
        response.WriteInt32(found.Endpoint?.Port ?? -1);
    }

    private readonly record struct FoundCoordinator(ErrorCode Error, string? Message, BrokerEndpoint? Endpoint);
}

/// <summary>The body.</summary>
/// <param name="KeyType">0 for groups, 1 for transactions.</param>
/// <param name="Keys">The groups or transactional ids; exactly one below version 4.</param>
internal sealed record FindCoordinatorRequest(sbyte KeyType, string[] Keys);
