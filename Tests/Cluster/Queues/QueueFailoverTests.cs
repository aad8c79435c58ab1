using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Queues;

/// <summary>Queues while brokers are lost: nothing that was settled and answered comes again, and nothing is missing.</summary>
public sealed class QueueFailoverTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private const int Records = 200;
    private static readonly TopicPartition Jobs = new("jobs", 0);

    [SkippableFact]
    public async Task Leader_that_is_killed_with_messages_in_flight_loses_and_repeats_none_that_was_settled()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("jobs", 1, 3));
        await Cluster.UntilInSyncAsync("jobs");
        for (var first = 0; first < Records; first += 10)
        {
            var values = Enumerable.Range(first, 10).Select(value => $"{value}").ToArray();
            Assert.Equal(ErrorCode.None, (await Cluster.Broker(1).ProduceAsync(Jobs, TestBatches.Of(values), Acks.All)).Error);
        }
        var leader = (await Cluster.Broker(1).DescribeTopicAsync("jobs")).Partitions[0].Leader;
        // The consumer's own broker lives.
        var client = new OrleansMqClient(Cluster.Broker(1 + (leader % 3)));
        await using var consumer = client.CreateQueueConsumer<string, string>(new QueueConsumerOptions
        {
            Topic = "jobs",
            Queue = "work",
            Credit = 20,
        });
        // A settlement without an answer may be in force: its message need not come again.
        var (handled, settled) = (new ConcurrentDictionary<string, bool>(), new ConcurrentDictionary<string, bool>());
        var (repeated, calls) = (new ConcurrentBag<string>(), 0);
        using var stop = new CancellationTokenSource();
        var running = consumer.RunAsync(async (message, cancellationToken) =>
        {
            var value = message.Value;
            if (settled.ContainsKey(value))
                repeated.Add(value);
            // Some are in flight for a while.
            if (Interlocked.Increment(ref calls) % 7 == 0)
                await Task.Delay(50, cancellationToken);
            handled[value] = true;
            await message.CompleteAsync(cancellationToken);
            settled[value] = true;
        }, concurrency: 5, stop.Token);
        await Wait.UntilAsync(() =>
        {
            Wait.Demand(running);
            return settled.Count >= 50;
        }, "a quarter is settled");
        await Cluster.KillAsync(leader);
        await Wait.UntilAsync(async () =>
        {
            Wait.Demand(running);
            return (await client.Broker.Queues.PeekAsync(Jobs, "work", 1)).Count == 0;
        }, "every message is settled", deadline: TimeSpan.FromMinutes(3));
        await stop.CancelAsync();
        await running;
        Assert.Empty(repeated);
        Assert.Equal(Records, handled.Count);
    }
}
