namespace OrleansMq.Gateways.Http;

/// <summary><c>/healthz</c>: the process is alive. <c>/readyz</c>: it accepts requests. A broker whose disk is full says so and stays
/// ready, since consumers still read from it.</summary>
internal static class HealthEndpoints
{
    /// <summary>Maps the endpoints.</summary>
    public static void Map(IEndpointRouteBuilder routes, ApiServices api)
    {
        routes.MapGet("/healthz", static http => OkAsync(http, "ok"));
        routes.MapGet("/readyz", http => api.Gate.NotReadyReason is { } reason
            ? Problems.WriteAsync(http, StatusCodes.Status503ServiceUnavailable, ErrorCode.LeaderNotAvailable, reason)
            : OkAsync(http, api.DiskFull() is { } full ? $"ok, but {full}" : "ok"));
    }

    /// <summary>Whether a request is for one of them. They tell nothing of the broker's data, and probes name any host.</summary>
    public static bool Serve(PathString path) => path == "/healthz" || path == "/readyz";

    private static Task OkAsync(HttpContext http, string text)
    {
        http.Response.ContentType = "text/plain; charset=utf-8";
        return http.Response.WriteAsync(text);
    }
}
