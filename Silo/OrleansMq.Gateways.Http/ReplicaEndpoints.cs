using OrleansMq.Api;
using OrleansMq.Client;

namespace OrleansMq.Gateways.Http;

/// <summary><c>/api/partitions/...</c> and <c>/api/leaders</c>: which brokers hold and lead partitions.</summary>
internal static class ReplicaEndpoints
{
    private const string ReassignPath = "/api/partitions/{topic}/{partition}/reassign";
    private const string ReassignExample = """{"replicas": [1, 2, 3]}""";
    private const string ElectExample = """{"type": "preferred", "topic": "orders"}""";
    private const string UncleanExample = """{"type": "unclean", "topic": "orders", "partition": 0, "acceptDataLoss": true}""";

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapPost(ReassignPath, http => ReassignAsync(http, api.BrokerOf(http).Administration));
        routes.MapDelete(ReassignPath, http => CancelAsync(http, api.BrokerOf(http).Administration));
        routes.MapGet("/api/cluster/reassignments", http => ListAsync(http, api.BrokerOf(http).Administration));
        routes.MapPost("/api/leaders/elect", http => ElectAsync(http, api.BrokerOf(http).Administration));
    }

    private static async Task ReassignAsync(HttpContext http, IClusterAdministration administration)
    {
        _ = new QueryValues(http);
        var partition = RouteValues.Partition(http);
        var body = await JsonBodies.ReadAsync(http, JsonBodies.Reassign, ReassignExample);
        if (body?.Replicas is not { Count: > 0 } replicas)
            throw new RequestException($"'replicas' is missing or empty; expected JSON such as {ReassignExample}, the preferred leader "
                + "first.");
        var begun = await administration.ReassignPartitionAsync(partition, replicas, http.RequestAborted);
        await JsonBodies.WriteAsync(http, begun, JsonBodies.Answers.PartitionReassignment, StatusCodes.Status202Accepted);
    }

    private static async Task CancelAsync(HttpContext http, IClusterAdministration administration)
    {
        _ = new QueryValues(http);
        await administration.CancelReassignmentAsync(RouteValues.Partition(http), http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task ListAsync(HttpContext http, IClusterAdministration administration)
    {
        _ = new QueryValues(http);
        await JsonBodies.WriteAsync(http, await administration.ListReassignmentsAsync(http.RequestAborted),
            JsonBodies.Answers.IReadOnlyListPartitionReassignment);
    }

    private static async Task ElectAsync(HttpContext http, IClusterAdministration administration)
    {
        _ = new QueryValues(http);
        var body = await JsonBodies.ReadAsync(http, JsonBodies.ElectLeaders, ElectExample)
            ?? throw new RequestException($"The body is missing; expected JSON such as {ElectExample}.");
        var elections = body.Type switch
        {
            HttpContract.PreferredElection => await ElectPreferredAsync(body, administration, http.RequestAborted),
            HttpContract.UncleanElection => [await ElectUncleanAsync(body, administration, http.RequestAborted)],
            _ => throw new RequestException($"'type' is '{body.Type}'; expected {HttpContract.PreferredElection} or "
                + $"{HttpContract.UncleanElection}."),
        };
        await JsonBodies.WriteAsync(http, elections, JsonBodies.Answers.IReadOnlyListLeaderElection);
    }

    private static ValueTask<IReadOnlyList<LeaderElection>> ElectPreferredAsync(ElectLeadersBody body,
        IClusterAdministration administration, CancellationToken cancellationToken) =>
        body.Broker is null
            ? administration.ElectPreferredLeadersAsync(body.Topic, body.Partition, cancellationToken)
            : throw new RequestException("'broker' belongs to an unclean election: the preferred leader is the first of a partition's "
            + "replicas. Reassign them to change it.");

    private static ValueTask<LeaderElection> ElectUncleanAsync(ElectLeadersBody body, IClusterAdministration administration,
        CancellationToken cancellationToken)
    {
        if (body is not { Topic: { } topic, Partition: { } partition })
            throw new RequestException($"An unclean election is for one partition; expected JSON such as {UncleanExample}.");
        if (!body.AcceptDataLoss)
            throw new RequestException($"An unclean election may lose acknowledged records of {topic}-{partition} for good. Set "
                + "\"acceptDataLoss\": true to accept that.");
        return administration.ElectUncleanAsync(new TopicPartition(topic, partition), body.Broker, cancellationToken);
    }
}
