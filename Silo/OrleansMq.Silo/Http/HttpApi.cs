namespace OrleansMq.Silo.Http;

/// <summary>The HTTP API, over any broker. One file an endpoint group; <c>openapi.json</c> beside them describes each.</summary>
internal static class HttpApi
{
    /// <summary>Maps every endpoint and what all of them share.</summary>
    public static void Map(WebApplication app, ApiServices api)
    {
        app.Use(next => RequestPipeline.Around(next, api));
        HealthEndpoints.Map(app, api);
        MetricsEndpoint.Map(app, api);
        OpenApiEndpoint.Map(app);
        ClusterEndpoints.Map(app, api);
        RebalanceEndpoints.Map(app, api);
        BrokerEndpoints.Map(app, api);
        ReplicaEndpoints.Map(app, api);
        TopicEndpoints.Map(app, api);
        RecordEndpoints.Map(app, api);
        BatchEndpoints.Map(app, api);
        OffsetEndpoints.Map(app, api);
        GroupEndpoints.Map(app, api);
        GroupMemberEndpoints.Map(app, api);
    }
}
