using System.Globalization;
using OrleansMq.Cli.Benchmark;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>The result of a load of transactions, without its warm-up.</summary>
/// <param name="Transactions">The transactions that were ended.</param>
/// <param name="Records">The records in them.</param>
/// <param name="Seconds">The time from the first request to the last answer.</param>
/// <param name="End">The latency of the request that ends a transaction, in milliseconds.</param>
/// <param name="Whole">The latency of whole transactions, in milliseconds.</param>
/// <param name="BrokerCpuSeconds">The processor time of the broker's processes; null if unknown.</param>
internal sealed record TransactionResult(long Transactions, long Records, double Seconds, Latency End, Latency Whole,
    double? BrokerCpuSeconds)
{
    public double PerSecond => Transactions / Seconds;

    /// <summary>Formats the result as one line.</summary>
    public string ToLine() => string.Create(CultureInfo.InvariantCulture,
        $"{PerSecond:N0} transactions/s; end p50 {End.P50:N2} ms, p99 {End.P99:N2} ms; whole p50 {Whole.P50:N2} ms, p99 {Whole.P99:N2} ms, "
        + $"max {Whole.Max:N2} ms; {Transactions:N0} transactions, {Seconds:N2} s; broker CPU ms each "
        + $"{(1e3 * BrokerCpuSeconds / Transactions)?.ToString("N3", CultureInfo.InvariantCulture) ?? "unknown: --pid"}");
}
