namespace OrleansMq.Hosting;

/// <summary>The metrics of a host's gateways.</summary>
internal static class GatewayMeters
{
    /// <summary>Has every gateway that reports a meter report the others' instruments, too. The host calls it once, before the gateways
    /// listen.</summary>
    public static void Share(IReadOnlyList<IGateway> gateways)
    {
        ArgumentNullException.ThrowIfNull(gateways);
        foreach (var reporter in gateways)
        {
            if (reporter.Meter is not { } meter)
                continue;
            foreach (var gateway in gateways)
            {
                if (!ReferenceEquals(gateway, reporter))
                    gateway.AddMetrics(meter);
            }
            if (reporter is IMetricsReader reader)
                reader.Add([.. gateways.OfType<IRefreshedMetrics>()]);
        }
    }
}
