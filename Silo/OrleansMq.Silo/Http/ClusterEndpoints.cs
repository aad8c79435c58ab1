namespace OrleansMq.Silo.Http;

/// <summary><c>/api/cluster</c> and <c>/api/producers</c>: what belongs to no topic.</summary>
internal static class ClusterEndpoints
{
    /// <summary>Maps them.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapGet("/api/cluster", async http =>
        {
            _ = new QueryValues(http);
            await JsonBodies.WriteAsync(http, await api.Gate.Broker.DescribeClusterAsync(http.RequestAborted), JsonBodies.Answers.ClusterDescription);
        });
        routes.MapPost("/api/producers", async http =>
        {
            _ = new QueryValues(http);
            await JsonBodies.WriteAsync(http, await api.Gate.Broker.InitProducerIdAsync(http.RequestAborted), JsonBodies.Answers.ProducerIdentity);
        });
    }
}
