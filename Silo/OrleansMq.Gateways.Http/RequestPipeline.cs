using System.Diagnostics;
using Microsoft.AspNetCore.Connections;
using OrleansMq.Access;
using OrleansMq.Gateways.Browsers;
using OrleansMq.Gateways.Http.Security;
using OrleansMq.Quotas;

namespace OrleansMq.Gateways.Http;

/// <summary>The pipeline of every request: measures it, checks its host and origin, finds out its user, holds the user within the quota of
/// requests' time, and converts errors to problem details.</summary>
internal static class RequestPipeline
{
    /// <summary>Wraps <paramref name="next"/>.</summary>
    public static RequestDelegate Around(RequestDelegate next, ApiServices api) => async http =>
    {
        var started = Stopwatch.GetTimestamp();
        try
        {
            if (RefusalOf(http.Request, api.Hosts) is { } refusal)
                await Problems.WriteAsync(http, refusal.Status, ErrorCode.InvalidRequest, refusal.Reason);
            else if (HealthEndpoints.Serve(http.Request.Path))
                await next(http);
            else if (await HttpAuthentication.AdmitAsync(http, api))
                await (PaceOf(http, api) is { } pace ? RunAsync(pace, next, http) : next(http));
            await Problems.CompleteAsync(http);
        }
        catch (Exception e)
        {
            await AnswerAsync(http, api, e);
        }
        finally
        {
            Measure(http, api, Stopwatch.GetElapsedTime(started));
        }
    };

    // Null: no quota limits the time of the client's requests.
    private static SessionPace? PaceOf(HttpContext http, ApiServices api) =>
        api.Gate.HasQuotas ? api.AccessOf(http).PaceOf(QuotaKey.RequestPercentage) : null;

    // Apart from the others, which must not pay for its closure.
    private static Task RunAsync(SessionPace pace, RequestDelegate next, HttpContext http)
    {
        // For what reads the body.
        http.Features.Set(pace);
        return pace.RunAsync(() => next(http), http.RequestAborted);
    }

    private static (int Status, string Reason)? RefusalOf(HttpRequest request, HostNames own)
    {
        var headers = new BrowserHeaders(request.Scheme, request.Host.Value ?? "", request.Host.Host, request.Headers.Origin.ToString(),
            request.Headers["Sec-Fetch-Site"].ToString(), request.Headers["Sec-Fetch-Dest"].ToString());
        return HealthEndpoints.Serve(request.Path) ? CrossSiteRequest.RefusalOfOrigin(headers) : CrossSiteRequest.Refusal(headers, own);
    }

    // A listener to the metrics is code of the application. The response is complete whatever it throws.
    private static void Measure(HttpContext http, ApiServices api, TimeSpan duration)
    {
        var route = (http.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText ?? "none";
        try
        {
            api.Metrics.RecordRequest(route, http.Request.Method, http.Response.StatusCode, duration);
        }
        catch (Exception fault)
        {
            api.Logger.ListenerFailed(fault, route);
        }
    }

    private static Task AnswerAsync(HttpContext http, ApiServices api, Exception e)
    {
        switch (e)
        {
            case BrokerException broker:
                return Problems.WriteAsync(http, api, broker.Code, broker.Message);
            case RequestException request:
                return Problems.WriteAsync(http, request.Status, request.Code, request.Message);
            case BadHttpRequestException bad:
                var code = bad.StatusCode == StatusCodes.Status413PayloadTooLarge ? ErrorCode.MessageTooLarge : ErrorCode.InvalidRequest;
                return Problems.WriteAsync(http, bad.StatusCode, code, bad.Message);
            case ConnectionAbortedException or ConnectionResetException:
                // The client is gone. The server may learn of it later, and would read the rest of the body until then.
                http.Abort();
                return Task.CompletedTask;
            case OperationCanceledException or IOException when http.RequestAborted.IsCancellationRequested:
                return Task.CompletedTask;
            default:
                api.Logger.RequestFailed(e, http.Request.Method, http.Request.Path);
                return Problems.WriteAsync(http, StatusCodes.Status500InternalServerError, ErrorCode.UnknownServerError,
                    $"The broker failed unexpectedly ({e.GetType().Name}); its log has the details.");
        }
    }
}
