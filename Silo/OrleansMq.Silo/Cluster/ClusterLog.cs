namespace OrleansMq.Silo.Cluster;

/// <summary>The log messages of the cluster host.</summary>
internal static partial class ClusterLog
{
    [LoggerMessage(EventId = 30, Level = LogLevel.Information,
        Message = "Silo on {Silo}, gateway for Orleans clients on {Gateway}")]
    public static partial void Listening(this ILogger logger, string silo, string gateway);

    [LoggerMessage(EventId = 31, Level = LogLevel.Warning,
        Message = "ANYONE WHO CAN REACH {Silo} OR {Gateway} CAN DO ANYTHING TO THIS CLUSTER: Orleans' ports have no authentication. Put a "
        + "firewall in front that admits only its brokers and services.")]
    public static partial void OpenDoor(this ILogger logger, string silo, string gateway);

    [LoggerMessage(EventId = 35, Level = LogLevel.Information,
        Message = "Silos and Orleans clients connect by TLS, with certificates of the cluster's authority")]
    public static partial void Encrypted(this ILogger logger);

    [LoggerMessage(EventId = 32, Level = LogLevel.Debug, Message = "The broker could not join its cluster")]
    public static partial void NotJoined(this ILogger logger, Exception failure);

    [LoggerMessage(EventId = 33, Level = LogLevel.Warning,
        Message = "The silo could not leave its cluster within {Seconds} s, perhaps because the database does not answer; the data "
        + "directory is closed, and the other brokers will detect that this one is gone")]
    public static partial void NotLeft(this ILogger logger, double seconds);

    [LoggerMessage(EventId = 34, Level = LogLevel.Warning,
        Message = "The cluster's metadata did not list this broker within {Seconds} s; it serves requests, and gets replicas of "
        + "new topics once it is listed")]
    public static partial void NotPlaced(this ILogger logger, double seconds);
}
