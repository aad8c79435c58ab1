using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Benchmarks.Peers.Works;

namespace OrleansMq.Tests.Benchmarks.Peers;

/// <summary>Comparisons with brokers that have their own protocols, and with the disk. Both sides have the same bytes, connections and
/// unacknowledged records, and equal durability. OrleansMq gets pre-encoded Kafka produce requests with acks=1, the peers what their
/// clients send.</summary>
internal static class OtherComparisons
{
    private const int RecordBytes = 1000;

    // RocketMQ's client: each thread awaits one answer, over one shared connection.
    private const int RocketMqSenders = 32;
    private const int RocketMqBatch = 16;
    private const int FewPartitions = 16;
    private const int ManyPartitions = 1000;

    /// <summary>Returns the comparisons.</summary>
    /// <param name="ours">OrleansMq.</param>
    public static IEnumerable<Comparison> All(OrleansMqBroker ours) =>
        [.. WithRocketMq(ours), .. WithItself(ours), .. WithRabbitMq(ours), .. OverAmqp(ours.OverAmqp()),
            .. OverAmqpByOwn(ours.OverAmqp()), .. WithNats(ours), .. WithRedis(ours), .. WithDisk(ours)];

    private static IEnumerable<Comparison> WithRocketMq(IBrokerUnderTest ours)
    {
        foreach (var (name, flush, records, durable) in new[]
        {
            ("async", FlushSetting.None, 800_000, "not flushed (ASYNC_FLUSH, --flush none)"),
            ("sync", FlushSetting.EveryAcknowledgement, 320_000, "on the disk when acknowledged (SYNC_FLUSH, --flush sync)"),
        })
        {
            foreach (var partitions in new[] { FewPartitions, ManyPartitions })
            {
                var settings = new BrokerSettings(Flush: flush);
                yield return new Comparison($"rocketmq-{name}-{partitions}",
                    $"Records of 1,000 bytes, one connection, {RocketMqSenders} unanswered calls of {RocketMqBatch} records each, "
                    + $"{partitions:N0} partitions (queues), {durable}.", "rocketmq",
                    new Contender(ours, new ReplayWork(settings, Load(1, RocketMqSenders, RocketMqBatch, partitions, records))),
                    new Contender(new RocketMqBroker(partitions),
                        new RocketMqWork(settings, partitions, RocketMqSenders, RocketMqBatch, RecordBytes, records)));
            }
        }
    }

    private static IEnumerable<Comparison> WithItself(IBrokerUnderTest ours)
    {
        foreach (var (name, flush) in new[] { ("none", FlushSetting.None), ("sync", FlushSetting.EveryAcknowledgement) })
        {
            Contender Over(int partitions) =>
                new(ours, new ReplayWork(new BrokerSettings(Flush: flush), Load(1, RocketMqSenders, RocketMqBatch, partitions, 800_000)));
            yield return new Comparison($"partitions-{name}",
                $"{ManyPartitions:N0} partitions and, below, {FewPartitions}: records of 1,000 bytes, one connection, {RocketMqSenders} "
                + $"requests in flight of {RocketMqBatch} records each, flush {name}.",
                "itself", Over(ManyPartitions), Over(FewPartitions));
        }
    }

    private static IEnumerable<Comparison> WithRabbitMq(IBrokerUnderTest ours)
    {
        foreach (var quorum in new[] { true, false })
        {
            yield return new Comparison($"rabbitmq-{(quorum ? "quorum" : "classic")}",
                $"Records of 1,000 bytes, 2 connections, 500 unacknowledged records each, one record a request (a publish), one partition "
                + $"({(quorum ? "quorum queue" : "classic durable queue, persistent messages")}), "
                + "on the disk when acknowledged (confirmed).",
                "rabbitmq",
                new Contender(ours,
                    new ReplayWork(new BrokerSettings(Flush: FlushSetting.EveryAcknowledgement), Load(2, 500, 1, 1, 300_000))),
                new Contender(new RabbitMqBroker(), new PerfTestWork(quorum, 2, 500, RecordBytes)));
        }
    }

    // The same client and protocol for both.
    private static IEnumerable<Comparison> OverAmqp(IBrokerUnderTest ours)
    {
        foreach (var (name, quorum, connections, window, consumers, nodes) in new[]
        {
            ("amqp-quorum", true, 2, 500, 0, 1), ("amqp-classic", false, 2, 500, 0, 1), ("amqp-quorum-through", true, 2, 500, 1, 1),
            ("amqp-quorum-one", true, 1, 1, 0, 1), ("amqp-quorum-rf3", true, 2, 500, 0, 3),
            ("amqp-quorum-through-rf3", true, 2, 500, 1, 3), ("amqp-quorum-one-rf3", true, 1, 1, 0, 3),
        })
        {
            var work = new PerfTestWork(quorum, connections, window, RecordBytes, consumers, nodes);
            yield return new Comparison(name, About("RabbitMQ's PerfTest", connections, window, consumers, nodes, quorum), "rabbitmq",
                new Contender(ours, work), new Contender(new RabbitMqBroker(), work));
        }
    }

    // PerfTest takes most of two processors, and leaves the rest to the broker.
    private static IEnumerable<Comparison> OverAmqpByOwn(IBrokerUnderTest ours)
    {
        foreach (var (name, connections, window, consumers) in new[]
            { ("amqp-own-quorum", 2, 500, 0), ("amqp-own-quorum-through", 2, 500, 1), ("amqp-own-quorum-one", 1, 1, 0) })
        {
            foreach (var nodes in new[] { 1, 3 })
            {
                var work = new AmqpLoadWork(connections, window, RecordBytes, consumers, nodes);
                yield return new Comparison(nodes == 1 ? name : $"{name}-rf3",
                    About("A lean client in the benchmark's process", connections, window, consumers, nodes, quorum: true), "rabbitmq",
                    new Contender(ours, work), new Contender(new RabbitMqBroker(), work));
            }
        }
    }

    private static string About(string client, int connections, int window, int consumers, int nodes, bool quorum) =>
        $"{client} on both: persistent messages of 1,000 bytes, {connections} connection{(connections == 1 ? "" : "s")}, "
        + $"{window} unconfirmed each, {(consumers == 0 ? "no consumer" : "a consumer that acknowledges each message")}, "
        + $"{QueueOn(nodes, quorum)}; a run of 20 s before, with a consumer, is not counted.";

    private static string QueueOn(int nodes, bool quorum) => nodes == 1
        ? $"{(quorum ? "quorum queue of one replica" : "classic durable queue")}, on the disk when confirmed"
        : $"quorum queue of {nodes} replicas on {nodes} nodes, all connections to the node that leads it, on disks when confirmed: of all "
            + "replicas in sync, two at least (OrleansMq, --flush sync), or of any two (RabbitMQ)";

    private static IEnumerable<Comparison> WithNats(IBrokerUnderTest ours)
    {
        const int Connections = 4;
        const int Unacknowledged = 1000;
        const int Records = 600_000;
        foreach (var (name, inRequest, how) in new[] { ("nats", 1, "one record a request (a PUB)"),
            ("nats-batches", 20, "20 records a request, one message a PUB: a client that batches beside one that does not") })
        {
            yield return new Comparison(name, $"Records of 1,000 bytes, {Connections} connections, {Unacknowledged} unacknowledged records "
                + $"each, {how}, one partition (stream in files), not flushed.",
                "nats",
                new Contender(ours,
                    new ReplayWork(new BrokerSettings(), Load(Connections, Unacknowledged / inRequest, inRequest, 1, Records))),
                new Contender(new NatsBroker(), new NatsWork(Connections, Unacknowledged, RecordBytes, Records)));
        }
    }

    private static IEnumerable<Comparison> WithRedis(IBrokerUnderTest ours)
    {
        const int Connections = 50;
        foreach (var (name, flush, durable) in new[]
        {
            ("everysec", FlushSetting.EverySecond, "flushed every second (appendfsync everysec, --flush interval)"),
            ("always", FlushSetting.EveryAcknowledgement, "on the disk when acknowledged (appendfsync always, --flush sync)"),
        })
        {
            foreach (var (suffix, unacknowledged, inRequest) in new[] { ("1", 1, 1), ("16", 16, 1), ("16-batches", 16, 16) })
            {
                var settings = new BrokerSettings(Flush: flush);
                var records = unacknowledged == 1 ? 250_000 : 500_000;
                yield return new Comparison($"redis-{name}-{suffix}",
                    $"Records of 1,000 bytes, {Connections} connections, {unacknowledged} unacknowledged each, {inRequest} a request (one "
                    + $"XADD each), one partition (stream), {durable}.", "redis",
                    new Contender(ours, new ReplayWork(settings, Load(Connections, unacknowledged / inRequest, inRequest, 1, records))),
                    new Contender(new RedisBroker(), new RedisWork(settings, Connections, unacknowledged, RecordBytes, records)));
            }
        }
    }

    private static IEnumerable<Comparison> WithDisk(IBrokerUnderTest ours)
    {
        const int InBatch = 64;
        const int InFlight = 16;
        const int Connections = 2;
        foreach (var (name, flush, syncAfter, how) in new[]
        {
            ("disk", FlushSetting.None, 0, "not flushed"),
            ("disk-sync", FlushSetting.EveryAcknowledgement, Connections * InFlight,
                $"on the disk when acknowledged; the file is synced after every {Connections * InFlight} batches, "
                    + "as many as are in flight"),
        })
        {
            var load = Load(Connections, InFlight, InBatch, 1, 1_500_000);
            yield return new Comparison(name,
                $"{InBatch} records of 1,000 bytes a batch, {Connections} connections with {InFlight} requests in flight to one partition, "
                + $"beside one thread that writes the same batches to a file, {how}.",
                "disk", new Contender(ours, new ReplayWork(new BrokerSettings(Flush: flush), load)),
                new Contender(new BareDisk(), new DiskWork(load, syncAfter)));
        }
    }

    private static LoadOptions Load(int connections, int requestsInFlight, int recordsInRequest, int partitions, long records) => new()
    {
        IsProduce = true,
        Bootstrap = "",
        Topic = "load",
        Connections = connections,
        InFlight = requestsInFlight,
        RecordBytes = RecordBytes,
        BatchBytes = ProduceTemplate.BatchBytesOf(recordsInRequest, RecordBytes),
        Partitions = partitions,
        Records = records,
        // Until the broker's code is fully compiled and each partition has its files.
        WarmRecords = Math.Max(records, 2L * partitions * recordsInRequest),
    };
}
