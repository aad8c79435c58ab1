namespace OrleansMq.Cli.Clusters;

/// <summary>The options of <c>omq cluster up</c>.</summary>
internal sealed record LocalClusterOptions
{
    /// <summary>The number of silos; null for as many as the directory has, or three.</summary>
    public int? Silos { get; init; }

    /// <summary>The cluster's directory; null for a temporary one that is deleted at the end.</summary>
    public string? Directory { get; init; }

    /// <summary>The database; null for a private server.</summary>
    public string? Postgres { get; init; }

    /// <summary>The racks that are assigned to silos in turn; empty for none.</summary>
    public IReadOnlyList<string> Racks { get; init; } = [];

    /// <summary>Whether processes that exit unexpectedly are restarted.</summary>
    public bool Restart { get; init; }

    /// <summary>Whether every broker serves AMQP.</summary>
    public bool Amqp { get; init; }

    /// <summary>Whether the cluster is secured: TLS on every port, an administrator with a password, and rules.</summary>
    public bool Secure { get; init; }

    /// <summary>Additional flags for each broker.</summary>
    public IReadOnlyList<string> BrokerFlags { get; init; } = [];
}
