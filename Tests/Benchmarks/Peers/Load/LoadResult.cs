using System.Globalization;
using System.Text.Json;
using OrleansMq.Cli.Benchmark;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>The result of a load, without its warm-up.</summary>
/// <param name="Records">The records acknowledged or read.</param>
/// <param name="Bytes">The bytes of batches, including headers.</param>
/// <param name="Seconds">The time from the first request to the last answer.</param>
/// <param name="Requests">The number of requests.</param>
/// <param name="Latency">The latency of requests, in milliseconds; at a fixed rate from when each was due.</param>
/// <param name="GeneratorCpuSeconds">The processor time of the load generator.</param>
/// <param name="BrokerCpuSeconds">The processor time of the broker's processes; null if unknown.</param>
internal sealed record LoadResult(long Records, long Bytes, double Seconds, long Requests, Latency Latency, double GeneratorCpuSeconds,
    double? BrokerCpuSeconds)
{
    public double RecordsPerSecond => Records / Seconds;

    public double MegabytesPerSecond => Bytes / 1e6 / Seconds;

    public double? BrokerCpuSecondsPerMillion => BrokerCpuSeconds / (Records / 1e6);

    /// <summary>Formats the result as one line.</summary>
    public string ToLine() => string.Create(CultureInfo.InvariantCulture,
        $"{RecordsPerSecond:N0} records/s, {MegabytesPerSecond:N1} MB/s, p50 {Latency.P50:N2} ms, p99 {Latency.P99:N2} ms, p99.9 "
        + $"{Latency.P999:N2} ms, max {Latency.Max:N2} ms; "
        + $"{Records:N0} records in {Requests:N0} requests, {Seconds:N2} s; generator {GeneratorCpuSeconds / (Records / 1e6):N3} CPU s a "
        + $"million, broker {BrokerCpuSecondsPerMillion?.ToString("N3", CultureInfo.InvariantCulture) ?? "unknown: --pid"}");

    public string ToJson() => JsonSerializer.Serialize(this, Json);

    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web);
}
