using System.Text.Json;
using OrleansMq.Access;
using OrleansMq.Client;
using OrleansMq.Gateways.Http.Security;

namespace OrleansMq.Gateways.Http;

/// <summary>Errors of any kind as problem details (RFC 9457).</summary>
internal static class Problems
{
    /// <summary>Answers with a problem. If an answer has begun, the connection is cut instead: half an answer must not look
    /// whole.</summary>
    public static Task WriteAsync(HttpContext http, int status, ErrorCode code, string detail)
    {
        if (http.Response.HasStarted)
        {
            http.Abort();
            return Task.CompletedTask;
        }
        http.Response.Clear();
        http.Response.StatusCode = status;
        if (status == StatusCodes.Status503ServiceUnavailable)
            http.Response.Headers.RetryAfter = "1";
        if (status == StatusCodes.Status401Unauthorized)
            http.Response.Headers.WWWAuthenticate = HttpAuthentication.ChallengesOf(http, ApiServices.Of(http));
        return WriteBodyAsync(http, status, code, detail);
    }

    /// <summary>Answers with the problem of an outcome of the broker API.</summary>
    public static Task WriteAsync(HttpContext http, ApiServices api, ErrorCode code, string? detail)
    {
        var status = ErrorStatus.Of(code, code == ErrorCode.KafkaStorageError && api.DiskFull() is not null);
        // An anonymous client may be allowed once it has authenticated.
        if (status == StatusCodes.Status403Forbidden && api.Gate.Security is { IsEnabled: true }
            && HttpAuthentication.PrincipalOf(http) == BrokerSession.Anonymous)
            status = StatusCodes.Status401Unauthorized;
        // Writing a problem clears the headers, so that it is added last.
        if (status == StatusCodes.Status429TooManyRequests)
            http.Response.OnStarting(() =>
            {
                var wait = api.AccessOf(http).Quotas?.Wait() ?? TimeSpan.Zero;
                http.Response.Headers.RetryAfter =
                    Math.Max(Math.Ceiling(wait.TotalSeconds), 1).ToString(System.Globalization.CultureInfo.InvariantCulture);
                return Task.CompletedTask;
            });
        return WriteAsync(http, status, code, detail ?? code.ToString());
    }

    /// <summary>Adds a body to the web framework's own errors: no such route, or a method that the route does not accept.</summary>
    public static Task CompleteAsync(HttpContext http)
    {
        if (http.Response.HasStarted || http.Response.ContentLength is not null || http.Response.ContentType is not null)
            return Task.CompletedTask;
        return http.Response.StatusCode switch
        {
            StatusCodes.Status404NotFound => WriteBodyAsync(http, StatusCodes.Status404NotFound, ErrorCode.InvalidRequest,
                $"There is no endpoint at {http.Request.Path}. /openapi.json lists all endpoints."),
            StatusCodes.Status405MethodNotAllowed => WriteBodyAsync(http, StatusCodes.Status405MethodNotAllowed, ErrorCode.InvalidRequest,
                $"{http.Request.Path} does not accept {http.Request.Method}; allowed: {http.Response.Headers.Allow}."),
            _ => Task.CompletedTask,
        };
    }

    private static Task WriteBodyAsync(HttpContext http, int status, ErrorCode code, string detail)
    {
        var body = JsonSerializer.SerializeToUtf8Bytes(HttpProblem.For(code, detail, status, http.Request.Path),
            JsonBodies.Answers.HttpProblem);
        http.Response.ContentType = HttpContract.ProblemMediaType;
        http.Response.ContentLength = body.Length;
        return HttpMethods.IsHead(http.Request.Method) ? Task.CompletedTask : http.Response.Body.WriteAsync(body).AsTask();
    }
}
