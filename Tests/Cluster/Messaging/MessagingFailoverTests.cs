using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.PostgreSql.Server;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Cluster.Messaging;

/// <summary>Requests and broadcasts on three silos, of which one is killed in the middle.</summary>
public sealed class MessagingFailoverTests(PostgreSqlFixture postgres, ITestOutputHelper output) : ReplicatedClusterTests(postgres)
{
    [SkippableFact]
    public async Task Replies_come_while_the_leader_of_their_partition_is_killed()
    {
        const int Requests = 300;
        foreach (var topic in (string[])["prices", "prices-replies"])
        {
            await Cluster.Broker(1).CreateTopicAsync(new NewTopic(topic, topic == "prices" ? 3 : 1, 3));
            await Cluster.UntilInSyncAsync(topic);
        }
        var victim = (await Cluster.Broker(1).DescribeTopicAsync("prices-replies")).Partitions[0].Leader;
        var (asking, answering) = (1 + (victim % 3), 1 + ((victim + 1) % 3));
        using var stop = new CancellationTokenSource();
        var responding = RespondAsync();
        await using var requester = new OrleansMqClient(Cluster.Broker(asking)).CreateRequester<string, string, string>(new()
        {
            Topic = "prices",
            ReplyTopic = "prices-replies",
            Timeout = TimeSpan.FromMinutes(3),
        });
        var answered = 0;
        var requests = Enumerable.Range(0, 6).Select(AskAsync).ToArray();
        await Wait.UntilAsync(() => Volatile.Read(ref answered) >= Requests / 6, "some are answered");
        await Cluster.KillAsync(victim);
        await Task.WhenAll(requests);
        Assert.Equal(Requests, requester.Statistics.Answered);
        output.WriteLine($"{requester.Statistics}");
        Assert.NotEqual(victim, (await Cluster.Broker(asking).DescribeTopicAsync("prices-replies")).Partitions[0].Leader);
        await stop.CancelAsync();
        await responding.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);

        async Task AskAsync(int caller)
        {
            for (var number = 0; number < Requests / 6; number++)
            {
                Assert.Equal($"{caller}.{number}!", await requester.RequestAsync($"{caller}", $"{caller}.{number}"));
                Interlocked.Increment(ref answered);
            }
        }

        async Task RespondAsync()
        {
            var client = new OrleansMqClient(Cluster.Broker(answering));
            await using var responder = client.CreateResponder<string>();
            await using var queue = client.CreateQueueConsumer<string, string>(
                new() { Topic = "prices", Queue = "pricing", Create = new() });
            await queue.RunAsync(async (message, stopping) =>
                await responder.AnswerAsync(message.Headers, _ => new($"{message.Value}!"), stopping), concurrency: 6, stop.Token);
        }
    }

    [SkippableFact]
    public async Task Broadcast_reaches_every_silo_and_skips_nothing_while_one_is_killed_which_begins_at_the_end()
    {
        const int Messages = 300;
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic("news", 3, 3));
        await Cluster.UntilInSyncAsync("news");
        var victim = (await Cluster.Broker(1).DescribeTopicAsync("news")).Partitions[0].Leader;
        var survivors = Enumerable.Range(1, 3).Where(broker => broker != victim).ToArray();
        var received = Enumerable.Range(1, 3).ToDictionary(static broker => broker, static _ => new ConcurrentQueue<(int, int)>());
        var subscriptions = new Dictionary<int, BroadcastSubscription<Ignore, int>>();
        foreach (var broker in received.Keys)
            subscriptions[broker] = await SubscribeAsync(broker, received[broker]);
        await using var producer = new OrleansMqClient(Cluster.Broker(survivors[0])).CreateProducer<Ignore, int>();
        await PublishAsync(0, Messages / 3);
        foreach (var (broker, inbox) in received)
            await Wait.UntilAsync(() => inbox.Count >= Messages / 3, $"silo {broker} has the first third");
        var publishing = PublishAsync(Messages / 3, Messages);
        await Wait.UntilAsync(() => received[survivors[0]].Count >= Messages / 2, "some of the others");
        await Cluster.KillAsync(victim);
        await publishing;
        foreach (var broker in survivors)
        {
            await Wait.UntilAsync(() => received[broker].Count >= Messages, $"silo {broker} has all");
            for (var partition = 0; partition < 3; partition++)
            {
                Assert.Equal(Enumerable.Range(0, Messages).Where(number => number % 3 == partition),
                    received[broker].Where(message => message.Item1 == partition).Select(static message => message.Item2));
            }
            Assert.Equal(new BroadcastStatistics(Messages, 0, 0, 0), subscriptions[broker].Statistics);
        }
        await subscriptions[victim].DisposeAsync();
        await Cluster.StartAsync(victim);
        await Cluster.SettleAsync();
        var again = new ConcurrentQueue<(int, int)>();
        subscriptions[victim] = await SubscribeAsync(victim, again);
        await PublishAsync(Messages, Messages + 30);
        await Wait.UntilAsync(() => again.Count >= 30, "the silo that is back has the last ones");
        Assert.Equal(Enumerable.Range(Messages, 30), again.Select(static message => message.Item2).Order());
        foreach (var subscription in subscriptions.Values)
            await subscription.DisposeAsync();

        Task<BroadcastSubscription<Ignore, int>> SubscribeAsync(int broker, ConcurrentQueue<(int, int)> inbox) =>
            new OrleansMqClient(Cluster.Broker(broker)).SubscribeBroadcastAsync<Ignore, int>(new() { Topic = "news" }, (message, _) =>
            {
                inbox.Enqueue((message.TopicPartition.Partition, message.Value));
                return default;
            });

        async Task PublishAsync(int from, int until)
        {
            for (var number = from; number < until; number++)
                await producer.SendAsync(new("news", default, number) { Partition = number % 3 });
        }
    }
}
