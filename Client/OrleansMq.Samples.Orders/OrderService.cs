using System.Buffers.Binary;
using OrleansMq.Api;
using OrleansMq.Grains;

namespace OrleansMq.Samples.Orders;

/// <summary>Takes orders: creates a topic, appends orders, reads them back, and shows the partition leaders.</summary>
/// <param name="grains">The cluster.</param>
internal sealed class OrderService(IGrainFactory grains)
{
    private const string Topic = "orders";
    private const int Partitions = 3;
    private const int OrdersPerBatch = 50;

    /// <summary>Appends a number of orders, and reads them back.</summary>
    public async Task RunAsync(int count, CancellationToken cancellationToken)
    {
        var topic = await CreateTopicAsync(cancellationToken);
        var cluster = grains.GetCluster();
        var producer = await Retrying.CallAsync(() => cluster.InitProducerIdAsync(cancellationToken), cancellationToken);
        var logs = Enumerable.Range(0, topic.Partitions).Select(partition => new OrderLog(grains, topic.TopicId, partition, producer))
            .ToArray();
        var ends = await Task.WhenAll(logs.Select(log => log.FindEndAsync(cancellationToken)));

        Console.WriteLine($"Appending {count} orders to {topic.Partitions} partitions of topic '{Topic}' ...");
        await Task.WhenAll(logs.Select((log, partition) => AppendAsync(log, partition, logs.Length, count, cancellationToken)));
        Console.WriteLine($"Every order is acknowledged by all in-sync replicas ({Retrying.Repeated} calls were repeated).");

        var read =
            await Task.WhenAll(logs.Select((log, partition) =>
                ReadAsync(log, ends[partition], partition, logs.Length, count, cancellationToken)));
        Console.WriteLine($"Read {read.Sum()} orders back: each once, and those of one customer in order.");

        var description = await Retrying.CallAsync(() => grains.GetTopic(Topic).DescribeAsync(cancellationToken), cancellationToken);
        foreach (var partition in description.Partitions)
        {
            Console.WriteLine($"  partition {partition.Partition}: led by broker {partition.Leader} in epoch {partition.LeaderEpoch}, "
                + $"in sync {string.Join(',', partition.InSyncReplicas)}, offsets {partition.LogStartOffset} to {partition.HighWatermark}");
        }
    }

    /// <summary>Creates the topic. Safe to retry: an existing topic is reported and used.</summary>
    private async Task<TopicListing> CreateTopicAsync(CancellationToken cancellationToken)
    {
        var cluster = grains.GetCluster();
        try
        {
            await Retrying.CallAsync(() => cluster.CreateTopicAsync(new NewTopic(Topic, Partitions), cancellationToken), cancellationToken);
        }
        catch (BrokerException there) when (there.Code == ErrorCode.TopicAlreadyExists)
        {
        }
        return await Retrying.CallAsync(() => grains.GetTopic(Topic).FindAsync(cancellationToken), cancellationToken)
            ?? throw new InvalidOperationException($"Topic '{Topic}' was deleted in the meantime.");
    }

    // An order's number is its value. The customer is the number modulo the partitions, so that each customer's orders stay in order.
    private static async Task AppendAsync(OrderLog log, int partition, int partitions, int count, CancellationToken cancellationToken)
    {
        foreach (var numbers in Enumerable.Range(0, count).Where(number => number % partitions == partition).Chunk(OrdersPerBatch))
            await log.AppendAsync($"customer-{partition}", numbers, cancellationToken);
    }

    private static async Task<int> ReadAsync(OrderLog log, long from, int partition, int partitions, int count,
        CancellationToken cancellationToken)
    {
        var expected = Enumerable.Range(0, count).Where(number => number % partitions == partition).ToArray();
        var read = 0;
        await foreach (var value in log.ReadAsync(from, expected.Length, cancellationToken))
        {
            var number = BinaryPrimitives.ReadInt32BigEndian(value.Span);
            if (number != expected[read++])
                throw new InvalidDataException($"Partition {partition}: order {number} came instead of {expected[read - 1]}. Does another "
                    + $"program append to topic '{Topic}'?");
        }
        return read;
    }
}
