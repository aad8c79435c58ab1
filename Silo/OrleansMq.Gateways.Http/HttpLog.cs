namespace OrleansMq.Gateways.Http;

/// <summary>The HTTP API's log messages.</summary>
internal static partial class HttpLog
{
    [LoggerMessage(EventId = 10, Level = LogLevel.Error, Message = "{Method} {Path} failed")]
    public static partial void RequestFailed(this ILogger logger, Exception exception, string method, string path);

    [LoggerMessage(EventId = 11, Level = LogLevel.Warning,
        Message = "A produce request was cut: its client left {Count} runs of answers unread for {Seconds} s. It must read while it sends, "
        + "or send less at once")]
    public static partial void AnswersUnread(this ILogger logger, int count, double seconds);

    [LoggerMessage(EventId = 12, Level = LogLevel.Error, Message = "A batch of a produce request to {Topic}-{Partition} failed")]
    public static partial void BatchFailed(this ILogger logger, Exception exception, string topic, int partition);

    [LoggerMessage(EventId = 13, Level = LogLevel.Warning, Message = "A listener to the metrics of requests to {Route} threw")]
    public static partial void ListenerFailed(this ILogger logger, Exception exception, string route);
}
