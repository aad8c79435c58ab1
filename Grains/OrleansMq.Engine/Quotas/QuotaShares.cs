namespace OrleansMq.Quotas;

/// <summary>What another broker says of its use of a limit.</summary>
/// <param name="Rate">What it used in the last seconds, in units a second.</param>
/// <param name="IsLimited">Whether it held clients back, which would use more.</param>
internal readonly record struct QuotaUse(double Rate, bool IsLimited);

/// <summary>How the brokers of a cluster share a limit.</summary>
internal static class QuotaShares
{
    /// <summary>What a broker that is not limited may use beyond what it used, before the others know.</summary>
    public const double Headroom = 1.25;

    /// <summary>
    /// Returns a broker's share of a limit: what the other brokers leave, and never less than an equal part. A broker that holds no client
    /// back is left what it uses and some headroom; one that does, an equal part of what is left; one of which nothing is known, an equal
    /// part of the whole.
    /// </summary>
    /// <param name="limit">The limit of the cluster.</param>
    /// <param name="others">The other brokers that are alive; null for one that has not said anything for a while.</param>
    public static double Of(double limit, IReadOnlyCollection<QuotaUse?> others)
    {
        var (left, count) = (limit, others.Count + 1);
        var equal = limit / count;
        foreach (var demand in others.Select(other => other is not { } use ? equal
            : use.IsLimited ? double.PositiveInfinity : use.Rate * Headroom).Order())
        {
            if (demand > left / count)
                break;
            left -= demand;
            count--;
        }
        return left / count;
    }
}
