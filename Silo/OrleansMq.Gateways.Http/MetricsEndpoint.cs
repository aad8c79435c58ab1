using OrleansMq.Access;

namespace OrleansMq.Gateways.Http;

/// <summary><c>/metrics</c>: the Prometheus text format.</summary>
internal static class MetricsEndpoint
{
    /// <summary>Maps the endpoint.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api) => routes.MapGet("/metrics", async http =>
    {
        // It names topics and groups.
        if (!api.MetricsAreOpen && api.Gate.Security is { IsEnabled: true })
            api.AccessOf(http).Demand(AccessOperation.Describe, ResourceType.Cluster);
        if (api.Gate.NotReadyReason is null)
        {
            await api.Metrics.Groups.RefreshAsync(api.Gate.Own.Groups, api.GroupLag, api.LocalGroups, api.Gate.Draining);
            await api.Metrics.Queues.RefreshAsync(api.Gate.Own.Queues, api.Gate.Draining);
            foreach (var gateway in api.Metrics.Gateways)
                await gateway.RefreshAsync(api.Gate.Draining);
        }
        http.Response.ContentType = "text/plain; version=0.0.4; charset=utf-8";
        api.Metrics.WriteText(http.Response.BodyWriter);
        await http.Response.BodyWriter.FlushAsync(http.RequestAborted);
    });
}
