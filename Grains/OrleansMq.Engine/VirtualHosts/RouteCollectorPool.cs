namespace OrleansMq.VirtualHosts;

/// <summary>Collectors for callers that route one message each, without a wait between. It keeps a few: bindings of other clients decide
/// how much memory a collector takes, so that one for each channel would have no bound. Thread safe.</summary>
internal sealed class RouteCollectorPool
{
    /// <summary>The most entries of a collector that is kept: some 100 KiB.</summary>
    public const int MaxKeptCapacity = 4_096;

    private readonly RouteCollector?[] _kept = new RouteCollector?[Environment.ProcessorCount];

    /// <summary>The pool of all callers.</summary>
    public static RouteCollectorPool Shared { get; } = new();

    /// <summary>Takes a collector.</summary>
    public RouteCollector Rent()
    {
        foreach (ref var kept in _kept.AsSpan())
        {
            if (Interlocked.Exchange(ref kept, null) is { } collector)
                return collector;
        }
        return new RouteCollector();
    }

    /// <summary>Returns a collector, which the caller no longer uses. It is kept unless it is large, or enough are.</summary>
    public void Return(RouteCollector collector)
    {
        if (collector.Capacity > MaxKeptCapacity)
            return;
        // It holds no part of a routing table that has changed.
        collector.Clear();
        foreach (ref var kept in _kept.AsSpan())
        {
            if (Interlocked.CompareExchange(ref kept, collector, null) is null)
                return;
        }
    }
}
