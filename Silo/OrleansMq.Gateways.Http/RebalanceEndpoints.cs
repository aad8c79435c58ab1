using OrleansMq.Api;

namespace OrleansMq.Gateways.Http;

/// <summary><c>/api/cluster/rebalance</c>: a plan, then its execution; one at a time in a cluster.</summary>
internal static class RebalanceEndpoints
{
    private const string Path = "/api/cluster/rebalance";
    private const string ExecuteExample = """{"planId": "...", "throttle": {"maxPartitions": 4, "maxBytesPerSecond": 0}}""";
    private const int MostPartitions = 1000;

    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapPost(Path + "/plan", http => PlanAsync(http, api.BrokerOf(http).Administration));
        routes.MapPost(Path, http => ExecuteAsync(http, api.BrokerOf(http).Administration));
        routes.MapGet(Path, http => GetAsync(http, api.BrokerOf(http).Administration));
        routes.MapDelete(Path, http => CancelAsync(http, api.BrokerOf(http).Administration));
    }

    private static async Task PlanAsync(HttpContext http, IClusterAdministration administration)
    {
        _ = new QueryValues(http);
        await JsonBodies.WriteAsync(http, await administration.PlanRebalanceAsync(http.RequestAborted), JsonBodies.Answers.RebalancePlan);
    }

    private static async Task ExecuteAsync(HttpContext http, IClusterAdministration administration)
    {
        _ = new QueryValues(http);
        var body = await JsonBodies.ReadAsync(http, JsonBodies.ExecuteRebalance, ExecuteExample);
        if (body?.PlanId is not { Length: > 0 } planId)
            throw new RequestException($"'planId' is missing: POST {Path}/plan makes a plan. Expected JSON such as {ExecuteExample}.");
        if (body.Throttle is { } throttle)
            Check(throttle);
        var status = await administration.ExecuteRebalanceAsync(planId, body.Throttle, http.RequestAborted);
        await JsonBodies.WriteAsync(http, status, JsonBodies.Answers.RebalanceStatus, StatusCodes.Status202Accepted);
    }

    private static async Task GetAsync(HttpContext http, IClusterAdministration administration)
    {
        _ = new QueryValues(http);
        if (await administration.GetRebalanceAsync(http.RequestAborted) is { } status)
            await JsonBodies.WriteAsync(http, status, JsonBodies.Answers.RebalanceStatus);
        else
            http.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private static async Task CancelAsync(HttpContext http, IClusterAdministration administration)
    {
        _ = new QueryValues(http);
        await JsonBodies.WriteAsync(http, await administration.CancelRebalanceAsync(http.RequestAborted),
            JsonBodies.Answers.RebalanceStatus);
    }

    private static void Check(RebalanceThrottle throttle)
    {
        if (throttle.MaxPartitions is < 1 or > MostPartitions)
            throw new RequestException($"'throttle.maxPartitions' is {throttle.MaxPartitions}; expected a whole number from 1 to "
                + $"{MostPartitions}.");
        if (throttle.MaxBytesPerSecond < 0)
            throw new RequestException($"'throttle.maxBytesPerSecond' is {throttle.MaxBytesPerSecond}; expected a whole number from 1, or "
                + "0 for no limit.");
    }
}
