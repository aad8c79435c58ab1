namespace OrleansMq.Silo.Hosting;

/// <summary>The host's log messages.</summary>
internal static partial class HostLog
{
    [LoggerMessage(EventId = 20, Level = LogLevel.Warning, Message = "{Warning}")]
    public static partial void SecurityWarning(this ILogger logger, string warning);

    [LoggerMessage(EventId = 21, Level = LogLevel.Information, Message = "Stopping: requests in flight may end")]
    public static partial void Stopping(this ILogger logger);

    [LoggerMessage(EventId = 22, Level = LogLevel.Warning, Message = "Requests were still in flight after {Seconds} s and were cut; "
        + "--drain-timeout-ms gives them longer")]
    public static partial void DrainDeadlinePassed(this ILogger logger, double seconds);

    [LoggerMessage(EventId = 23, Level = LogLevel.Warning, Message = "This process may open {Limit} files: it keeps {Data} files of its "
        + "data open instead of {Wanted}, and accepts {Http} HTTP, {Kafka} Kafka and {Amqp} AMQP connections. Raise the limit: ulimit "
        + "-n, or LimitNOFILE of the service")]
    public static partial void FewFiles(this ILogger logger, long limit, int data, int wanted, int http, int kafka, int amqp);
}
