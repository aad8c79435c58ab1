namespace OrleansMq.Gateways.Http;

/// <summary><c>/api/cluster</c> and <c>/api/producers</c>: what belongs to no topic.</summary>
internal static class ClusterEndpoints
{
    private const string AlterExample = """{"autoRebalance": true}""";

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapGet("/api/cluster", async http =>
        {
            _ = new QueryValues(http);
            await JsonBodies.WriteAsync(http, await api.BrokerOf(http).DescribeClusterAsync(http.RequestAborted),
                JsonBodies.Answers.ClusterDescription);
        });
        routes.MapPatch("/api/cluster", http => AlterAsync(http, api));
        routes.MapPost("/api/producers", async http =>
        {
            _ = new QueryValues(http);
            await JsonBodies.WriteAsync(http, await api.BrokerOf(http).InitProducerIdAsync(http.RequestAborted),
                JsonBodies.Answers.ProducerIdentity);
        });
    }

    private static async Task AlterAsync(HttpContext http, ApiServices api)
    {
        _ = new QueryValues(http);
        var body = await JsonBodies.ReadAsync(http, JsonBodies.AlterCluster, AlterExample);
        if (body is not { AutoRebalance: { } enabled })
            throw new RequestException($"The body asks for no change; expected JSON such as {AlterExample}.");
        await api.BrokerOf(http).Administration.SetAutoRebalanceAsync(enabled, http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }
}
