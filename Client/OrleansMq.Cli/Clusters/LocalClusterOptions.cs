namespace OrleansMq.Cli.Clusters;

/// <summary>What <c>omq cluster up</c> is asked for.</summary>
internal sealed record LocalClusterOptions
{
    /// <summary>How many silos; null for as many as the directory has, or three.</summary>
    public int? Silos { get; init; }

    /// <summary>Where all of it lives; null for a temporary directory that is deleted at the end.</summary>
    public string? Directory { get; init; }

    /// <summary>The database; null for a private server.</summary>
    public string? Postgres { get; init; }

    /// <summary>The racks that silos are given one after the other; none where empty.</summary>
    public IReadOnlyList<string> Racks { get; init; } = [];

    /// <summary>Whether what ends by itself is started again.</summary>
    public bool Restart { get; init; }

    /// <summary>More flags for each broker.</summary>
    public IReadOnlyList<string> BrokerFlags { get; init; } = [];
}
