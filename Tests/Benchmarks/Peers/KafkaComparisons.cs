using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Benchmarks.Peers.Works;

namespace OrleansMq.Tests.Benchmarks.Peers;

/// <summary>What is compared with a broker that speaks Kafka's protocol: Kafka itself, or another build of OrleansMq.</summary>
internal static class KafkaComparisons
{
    /// <summary>The comparisons.</summary>
    /// <param name="ours">OrleansMq.</param>
    /// <param name="theirs">The peer.</param>
    /// <param name="peer">Its name for <c>--against</c>.</param>
    public static IEnumerable<Comparison> All(IBrokerUnderTest ours, IBrokerUnderTest theirs, string peer)
    {
        foreach (var (name, bytes, batch, records) in new[] { ("100", 100, 16 << 10, 6_000_000), ("1k", 1000, 64 << 10, 1_000_000), ("64k", 64 << 10, 64 << 10, 20_000) })
        {
            var load = Produce() with { RecordBytes = bytes, BatchBytes = batch, Records = records, WarmRecords = records / 4, Partitions = 16, Connections = 4 };
            yield return Same($"produce-{name}", $"Records of {bytes:N0} bytes in batches of {batch:N0}, 16 partitions, 4 connections with 5 requests in flight, acks=1, no flush.",
                new ReplayWork(new BrokerSettings(), load));
        }

        Comparison Same(string name, string about, IWork work) => new(name, about, peer, new Contender(ours, work), new Contender(theirs, work));
    }

    private static LoadOptions Produce() => new() { IsProduce = true, Bootstrap = "", Topic = "load" };
}
