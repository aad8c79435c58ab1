using System.Globalization;
using System.Text.Json;
using OrleansMq.Cli.Benchmark;

namespace OrleansMq.Tests.Benchmarks.Peers.Load;

/// <summary>What a run of load came to, without its warm-up.</summary>
/// <param name="Records">Records answered for, or read.</param>
/// <param name="Bytes">Of batches, headers and all.</param>
/// <param name="Seconds">From the first request to the last answer.</param>
/// <param name="Requests">How many.</param>
/// <param name="Latency">Of requests, in milliseconds; at a fixed rate from when each was due.</param>
/// <param name="GeneratorCpuSeconds">Processor time of the load generator.</param>
/// <param name="BrokerCpuSeconds">Processor time of the broker's processes; null where they are not known.</param>
internal sealed record LoadResult(long Records, long Bytes, double Seconds, long Requests, Latency Latency, double GeneratorCpuSeconds,
    double? BrokerCpuSeconds)
{
    public double RecordsPerSecond => Records / Seconds;

    public double MegabytesPerSecond => Bytes / 1e6 / Seconds;

    public double? BrokerCpuSecondsPerMillion => BrokerCpuSeconds / (Records / 1e6);

    /// <summary>One line.</summary>
    public string ToLine() => string.Create(CultureInfo.InvariantCulture,
        $"{RecordsPerSecond:N0} records/s, {MegabytesPerSecond:N1} MB/s, p50 {Latency.P50:N2} ms, p99 {Latency.P99:N2} ms, p99.9 "
        + $"{Latency.P999:N2} ms, max {Latency.Max:N2} ms; "
        + $"{Records:N0} records in {Requests:N0} requests, {Seconds:N2} s; generator {GeneratorCpuSeconds / (Records / 1e6):N3} CPU s a "
        + $"million, broker {BrokerCpuSecondsPerMillion?.ToString("N3", CultureInfo.InvariantCulture) ?? "unknown: --pid"}");

    public string ToJson() => JsonSerializer.Serialize(this, Json);

    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web);
}
