using OrleansMq.Api;

namespace OrleansMq.Gateways.Http;

/// <summary><c>/api/brokers</c>: draining, resuming and removing a broker.</summary>
internal static class BrokerEndpoints
{
    private const string Path = "/api/brokers/{broker}";

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapPost(Path + "/drain", http => DrainAsync(http, api.BrokerOf(http).Administration));
        routes.MapDelete(Path + "/drain", http => TellAsync(http, api.BrokerOf(http).Administration.ResumeBrokerAsync));
        routes.MapDelete(Path, http => TellAsync(http, api.BrokerOf(http).Administration.RemoveBrokerAsync));
    }

    private static async Task DrainAsync(HttpContext http, IClusterAdministration administration)
    {
        _ = new QueryValues(http);
        var status = await administration.DrainBrokerAsync(RouteValues.Broker(http), http.RequestAborted);
        await JsonBodies.WriteAsync(http, status, JsonBodies.Answers.RebalanceStatus, StatusCodes.Status202Accepted);
    }

    private static async Task TellAsync(HttpContext http, Func<int, CancellationToken, ValueTask> order)
    {
        _ = new QueryValues(http);
        await order(RouteValues.Broker(http), http.RequestAborted);
        http.Response.StatusCode = StatusCodes.Status204NoContent;
    }
}
