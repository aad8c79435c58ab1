using OrleansMq.Gateways.Http.Queueing;
using OrleansMq.Gateways.Http.Scheduling;
using OrleansMq.Gateways.Http.Security;
using OrleansMq.Gateways.Http.Transactions;

namespace OrleansMq.Gateways.Http;

/// <summary>The HTTP API, over any broker. Each file has one group of endpoints; <c>openapi.json</c> beside them describes them.</summary>
internal static class HttpApi
{
    /// <summary>Maps every endpoint and the shared pipeline.</summary>
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
        DeadLetterEndpoints.Map(app, api);
        GroupEndpoints.Map(app, api);
        GroupMemberEndpoints.Map(app, api);
        QueueEndpoints.Map(app, api);
        QueueConsumerEndpoints.Map(app, api);
        ScheduleEndpoints.Map(app, api);
        TransactionEndpoints.Map(app, api);
        SecurityEndpoints.Map(app, api);
        QuotaEndpoints.Map(app, api);
        TicketEndpoints.Map(app, api);
    }
}
