namespace OrleansMq.Silo.Cluster;

/// <summary>What the cluster host logs.</summary>
internal static partial class ClusterLog
{
    [LoggerMessage(EventId = 30, Level = LogLevel.Information,
        Message = "Silo on 127.0.0.1:{SiloPort}, gateway for Orleans clients on 127.0.0.1:{GatewayPort}")]
    public static partial void Listening(this ILogger logger, int siloPort, int gatewayPort);
}
