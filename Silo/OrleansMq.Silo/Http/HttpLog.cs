namespace OrleansMq.Silo.Http;

/// <summary>What the HTTP API logs.</summary>
internal static partial class HttpLog
{
    [LoggerMessage(EventId = 10, Level = LogLevel.Error, Message = "{Method} {Path} failed")]
    public static partial void RequestFailed(this ILogger logger, Exception exception, string method, string path);
}
