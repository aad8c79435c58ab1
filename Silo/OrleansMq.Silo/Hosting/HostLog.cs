namespace OrleansMq.Silo.Hosting;

/// <summary>The host's log messages.</summary>
internal static partial class HostLog
{
    [LoggerMessage(EventId = 20, Level = LogLevel.Warning,
        Message = "ANYONE WHO CAN REACH {Address} CAN READ, WRITE AND DELETE EVERY TOPIC: --{Name} demands no password or certificate, and "
        + "no rules are enforced. Bind 127.0.0.1, put a firewall in front, or set --admin-password.")]
    public static partial void OpenDoor(this ILogger logger, string address, string name);

    [LoggerMessage(EventId = 25, Level = LogLevel.Warning,
        Message = "WHO AUTHENTICATES CAN READ, WRITE AND DELETE EVERY TOPIC: no rules are enforced. Set --authorization enforce with "
        + "--super-users or --admin-password; --authorization off says that it is meant.")]
    public static partial void NoRules(this ILogger logger);

    [LoggerMessage(EventId = 24, Level = LogLevel.Warning,
        Message = "Passwords and messages reach {Address} unencrypted, since --{Name} has no TLS. Bind 127.0.0.1, or keep the network to "
        + "yourself.")]
    public static partial void ClearText(this ILogger logger, string address, string name);

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
