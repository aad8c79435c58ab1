using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Benchmarks.Peers.Works;

namespace OrleansMq.Tests.Benchmarks.Peers;

/// <summary>Comparisons with a broker that speaks Kafka's protocol: Kafka itself, or another build of OrleansMq.</summary>
internal static class KafkaComparisons
{
    private static readonly BrokerSettings OneNode = new();
    private static readonly BrokerSettings ThreeNodes = new(Nodes: 3);
    private static readonly BrokerSettings Flushed = new(Flush: FlushSetting.EveryAcknowledgement);

    // Each takes some seconds on two processors.
    private static readonly LoadOptions Small = Produce(100, 16 << 10, 6_000_000);
    private static readonly LoadOptions Medium = Produce(1000, 64 << 10, 1_000_000);
    private static readonly LoadOptions Large = Produce(64 << 10, 64 << 10, 20_000);

    /// <summary>Returns the comparisons.</summary>
    /// <param name="ours">OrleansMq.</param>
    /// <param name="theirs">The peer.</param>
    /// <param name="peer">The peer's name for <c>--against</c>.</param>
    public static IEnumerable<Comparison> All(IBrokerUnderTest ours, IBrokerUnderTest theirs, string peer) =>
        Replays().Concat(Reads()).Concat(Latencies()).Concat(Clients()).Concat(Transactions()).Concat(Resources())
            .Select(work => new Comparison(work.Name, work.About, peer, new Contender(ours, work.Work), new Contender(theirs, work.Work)));

    private static IEnumerable<(string Name, string About, IWork Work)> Replays()
    {
        foreach (var (name, load) in new[] { ("100", Small), ("1k", Medium), ("64k", Large) })
        {
            foreach (var partitions in new[] { 16, 1, 1000 })
            {
                var suffix = partitions == 16 ? "" : $"-{partitions}p";
                yield return Replay($"produce-{name}{suffix}", OneNode, load with { Partitions = partitions });
            }
        }
        foreach (var (name, load) in new[] { ("100", Produce(100, 16 << 10, 3_000_000)), ("1k", Produce(1000, 64 << 10, 400_000)) })
            yield return Replay($"produce-{name}-rf3", ThreeNodes, Replicated(load));
        // Sixteen producers that await each answer: their rate depends on the broker's group commit.
        foreach (var partitions in new[] { 16, 1 })
        {
            var producers = Produce(1000, 16 << 10, 200_000) with { Connections = 16, InFlight = 1, Partitions = partitions };
            yield return Replay($"flush-1k-{partitions}p", Flushed, producers);
        }
    }

    private static IEnumerable<(string Name, string About, IWork Work)> Reads()
    {
        foreach (var (name, load) in new[] { ("100", Small), ("1k", Medium) })
        {
            yield return ($"consume-{name}",
                $"Reads what was produced before: {Describe(OneNode, load)} Answers of up to 50 MiB, 1 MiB of a partition; "
                + "records are not decoded. Five times from the page cache after one that is not counted; then once after the files were "
                + "dropped from it.",
                new ConsumeWork(load with { PartitionBytes = 1 << 20 }, passes: 5));
        }
    }

    private static IEnumerable<(string Name, string About, IWork Work)> Latencies()
    {
        // 16 records in a batch, like a producer with some milliseconds of linger at that rate.
        var steady = Medium with { BatchBytes = 17_000, Records = 300_000, WarmRecords = 200_000, Rate = 20_000, InFlight = 64 };
        foreach (var (suffix, settings, load) in new[] { ("", OneNode, steady), ("-rf3", ThreeNodes, Replicated(steady)) })
        {
            yield return ($"latency-20000{suffix}",
                $"20,000 records a second, evenly: {Describe(settings, load)} Latency counts from when a request was due.",
                new TailWork(settings, load, isHalfOfMaximum: false));
        }
        yield return ("latency-half", $"At most, and then at half of what that came to, evenly, for 10 s: {Describe(OneNode, steady)}",
            new TailWork(OneNode, steady with { Records = 600_000 }, isHalfOfMaximum: true));
    }

    private static IEnumerable<(string Name, string About, IWork Work)> Clients()
    {
        foreach (var (name, bytes, records) in new[] { ("100", 100, 3_000_000), ("1k", 1000, 600_000) })
        {
            foreach (var (suffix, settings) in new[] { ("", OneNode), ("-rf3", ThreeNodes) })
            {
                var acks = Where(settings);
                yield return ($"kafka-tools-{name}{suffix}",
                    $"Kafka's ProducerPerformance and ConsumerPerformance with their defaults, each after a run that is not counted: "
                    + $"{records:N0} records of {bytes:N0} bytes, 4 partitions, {acks}.",
                    new KafkaToolsWork(settings, bytes, records, partitions: 4));
                yield return ($"librdkafka-{name}{suffix}", $"kcat with its defaults, each after a run that is not counted, and read again "
                    + $"with queues that hold all: {records:N0} lines of {bytes:N0} bytes, 4 partitions, {acks}.",
                    new KcatWork(settings, bytes, records, partitions: 4));
            }
        }
        foreach (var (name, consumers, suffix, settings) in new[]
            { ("1", 1, "", OneNode), ("4", 4, "", OneNode), ("1", 1, "-rf3", ThreeNodes), ("4", 4, "-rf3", ThreeNodes) })
        {
            yield return ($"kafka-share-{name}{suffix}",
                $"Kafka's ShareConsumerPerformance with {consumers} consumer{(consumers == 1 ? "" : "s")} of a share group, after a run by "
                + "another group that is not counted: 1,000,000 records of 100 bytes that were produced before are acquired and accepted, "
                + $"4 partitions, {Where(settings)}. The time until the consumers have joined is counted.",
                new ShareWork(settings, 100, 1_000_000, partitions: 4, consumers));
        }
        foreach (var (suffix, settings) in new[] { ("", OneNode), ("-rf3", ThreeNodes) })
        {
            yield return ($"kafka-tools-latency{suffix}", "Kafka's ProducerPerformance at 20,000 records of 1,000 bytes a second, for 10 s "
                + "after 10 s that are not counted; then its EndToEndLatency, "
                + $"30,000 records one after the other from a producer to a consumer, the start of its virtual machine counted: "
                + $"{Where(settings)}.",
                new KafkaLatencyWork(settings, recordBytes: 1000, rate: 20_000, records: 200_000, roundTrips: 30_000));
        }
        yield return ("group-50", "A group of 50 librdkafka consumers in one process on 100 partitions: until all have joined an idle "
            + "group of that name for the first time; "
            + "then 2,000,000 records of 100 bytes read.",
            new GroupWork(Small with { Records = 2_000_000, Partitions = 100 }, members: 50));
    }

    private static IEnumerable<(string Name, string About, IWork Work)> Transactions()
    {
        foreach (var (inTransaction, transactions, version) in new[] { (1, 20_000, 2), (10, 10_000, 2), (100, 2_000, 2), (1, 20_000, 1) })
        {
            var load = new TransactionOptions { Bootstrap = "", Topic = "transactions", InTransaction = inTransaction, Version = version,
                Transactions = transactions, WarmTransactions = transactions / 2 };
            yield return ($"transactions-{inTransaction}{(version == 2 ? "" : "-v1")}",
                $"{load.Producers} producers, each with one transaction at a time: a record of 100 bytes to each of {inTransaction} "
                + $"of {load.Partitions} partitions, then the commit; version {version} of the protocol, one node, no flush of records.",
                new TransactionWork(load));
        }
        var fill = new TransactionOptions { Bootstrap = "", Topic = "committed", Partitions = 16, Transactions = 20_000, AbortEvery = 10,
            BatchBytes = 16 << 10 };
        yield return ("consume-committed-100", "Reads what was committed of 20,000 transactions, every tenth aborted, each of a batch of "
            + "16 KiB with records of 100 bytes, over 16 partitions: 4 connections, answers of up to 50 MiB, 1 MiB of a partition; five "
            + "times from the page cache after one that is not counted. Aborted records and markers count, too: the broker sends them.",
            new CommittedReadWork(fill, passes: 5));
    }

    private static IEnumerable<(string Name, string About, IWork Work)> Resources()
    {
        yield return ("idle", "Started, and left alone for 15 s.", new IdleConnectionsWork(0, null));
        var beside = Medium with { BatchBytes = 17_000, Records = 20_000, WarmRecords = 20_000, Rate = 2_000, InFlight = 64 };
        yield return ("idle-10000",
            "10,000 connections on which nothing is asked but the versions, once; then 2,000 records of 1,000 bytes a second beside them.",
            new IdleConnectionsWork(10_000, beside));
    }

    private static (string Name, string About, IWork Work) Replay(string name, BrokerSettings settings, LoadOptions load) =>
        (name, Describe(settings, load), new ReplayWork(settings, load));

    private static string Describe(BrokerSettings settings, LoadOptions load) =>
        $"{(settings.Nodes == 1 ? "One node" : $"{settings.Nodes} nodes, as many replicas, two in sync at least")}, {load.Partitions:N0} "
        + $"partition{(load.Partitions == 1 ? "" : "s")}, "
        + $"records of {load.RecordBytes:N0} bytes in batches of up to {load.BatchBytes:N0}, {load.Connections} connections with "
        + $"{load.InFlight} in flight, "
        + $"acks={(load.Acks == 1 ? "1" : "all")}, "
        + $"{(settings.Flush == FlushSetting.None ? "no flush" : "flushed before each acknowledgement")}.";

    private static string Where(BrokerSettings settings) => settings.Nodes == 1 ? "one node, acks=1" : "three nodes and replicas, acks=all";

    private static LoadOptions Replicated(LoadOptions load) =>
        load with { Acks = -1, ReplicationFactor = 3, TopicConfig = WorkTopics.Config(ThreeNodes), Connections = 6 };

    private static LoadOptions Produce(int recordBytes, int batchBytes, int records) => new()
    {
        IsProduce = true,
        Bootstrap = "",
        Topic = "load",
        RecordBytes = recordBytes,
        // A batch holds at least one record, whatever its size limit.
        BatchBytes = batchBytes,
        Records = records,
        // The same again as a warm-up, since both sides compile code at run time.
        WarmRecords = records,
        Partitions = 16,
        Connections = 4,
    };
}
