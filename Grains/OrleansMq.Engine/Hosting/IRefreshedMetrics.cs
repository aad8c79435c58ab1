namespace OrleansMq.Hosting;

/// <summary>A gateway with instruments whose values are looked up before they are read.</summary>
internal interface IRefreshedMetrics
{
    /// <summary>Looks them up where it is time to, and waits a moment for what is seen. Does not throw.</summary>
    /// <param name="ended">The reader has gone, or the broker stops.</param>
    ValueTask RefreshAsync(CancellationToken ended);
}

/// <summary>A gateway that reports a meter, and has others look up their values first.</summary>
internal interface IMetricsReader
{
    /// <summary>Takes the gateways whose values are looked up. Called once, before the gateways listen.</summary>
    void Add(IReadOnlyList<IRefreshedMetrics> sources);
}
