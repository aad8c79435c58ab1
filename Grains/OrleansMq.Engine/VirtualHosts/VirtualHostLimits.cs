namespace OrleansMq.VirtualHosts;

/// <summary>The names of a virtual host's limits, as RabbitMQ's definitions and its management API have them.</summary>
internal static class VirtualHostLimits
{
    /// <summary>The component of the parameter that has the limits in definitions.</summary>
    public const string Component = "vhost-limits";

    /// <summary>The name of that parameter.</summary>
    public const string Parameter = "limits";

    /// <summary>The most connections.</summary>
    public const string MaxConnections = "max-connections";

    /// <summary>The most queues.</summary>
    public const string MaxQueues = "max-queues";

    /// <summary>Returns a limit as it is stored: null for a number below 0, which RabbitMQ takes for no limit.</summary>
    public static int? Of(int value) => value < 0 ? null : value;
}
