namespace OrleansMq.Silo.Cluster;

/// <summary>What the cluster host logs.</summary>
internal static partial class ClusterLog
{
    [LoggerMessage(EventId = 30, Level = LogLevel.Information,
        Message = "Silo on {Silo}, gateway for Orleans clients on {Gateway}")]
    public static partial void Listening(this ILogger logger, string silo, string gateway);

    [LoggerMessage(EventId = 31, Level = LogLevel.Warning,
        Message = "ANYONE WHO CAN REACH {Silo} OR {Gateway} CAN DO ANYTHING TO THIS CLUSTER: Orleans' ports have no authentication. Put a "
        + "firewall in front that lets only its brokers and services in.")]
    public static partial void OpenDoor(this ILogger logger, string silo, string gateway);

    [LoggerMessage(EventId = 32, Level = LogLevel.Debug, Message = "Why the broker could not join")]
    public static partial void NotJoined(this ILogger logger, Exception failure);

    [LoggerMessage(EventId = 33, Level = LogLevel.Warning,
        Message = "The silo could not leave its cluster within {Seconds} s, as when the database does not answer; the data directory is "
        + "closed, and the other brokers notice that this one is gone")]
    public static partial void NotLeft(this ILogger logger, double seconds);

    [LoggerMessage(EventId = 34, Level = LogLevel.Warning,
        Message = "The cluster's metadata did not take this broker in within {Seconds} s; it serves, and new topics are placed on it once "
        + "they have")]
    public static partial void NotPlaced(this ILogger logger, double seconds);
}
