using System.Diagnostics;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Consumers;
using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.OrleansPackages.Streams;
using OrleansMq.Tests.PostgreSql.Server;
using Xunit.Abstractions;

namespace OrleansMq.Tests.OrleansPackages.Consumers;

/// <summary>Grain consumers on three silos: while one is lost nothing is missing, and effects in grain state happen once.</summary>
public sealed class ConsumerFailoverTests(PostgreSqlFixture postgres, ITestOutputHelper output) : ReplicatedClusterTests(postgres)
{
    private const int Keys = 12;
    private const int Records = 40;

    private protected override void ConfigureSilo(ISiloBuilder silo)
    {
        SharedStorage.AddTo(silo);
        silo.AddOrleansMqConsumers(static options => options with
        {
            MissingTopic = MissingTopic.Wait,
            RetryDelay = TimeSpan.FromMilliseconds(50),
            MaxRetryDelay = TimeSpan.FromSeconds(1),
            RefreshInterval = TimeSpan.FromMilliseconds(200),
            SessionTimeout = TimeSpan.FromSeconds(5),
        });
    }

    [SkippableTheory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Silo_that_is_lost_in_the_middle_takes_no_record_along_and_doubles_no_effect_in_grain_state(bool isStopped)
    {
        string[] topics = ["consume-killed", "consume-once-killed", "consume-journal-killed"];
        foreach (var topic in topics)
        {
            await Cluster.Broker(1).CreateTopicAsync(new NewTopic(topic, 3, 3));
            await Cluster.UntilInSyncAsync(topic);
            // Every third record takes a while, so that some are in delivery at any time.
            ConsumerScript.On(topic, static call => call.Number % 3 == 0 ? Task.Delay(20) : Task.CompletedTask);
        }
        // Grains of the two cases are different ones.
        var prefix = isStopped ? "s" : "k";
        var victim = (await Cluster.Broker(1).DescribeTopicAsync(topics[1])).Partitions[0].Leader;
        var survivor = 1 + (victim % 3);
        await using var producer = new OrleansMqClient(Cluster.Broker(survivor)).CreateProducer<string, string>();
        var sending = SendAsync();
        await Wait.UntilAsync(() => Task.FromResult(topics.All(topic => Received(topic).Sum(numbers => numbers.Length)
            >= Keys * Records / 4)), "a quarter is received", () => Task.FromResult(string.Join('\n', topics.Select(Describe))));
        if (isStopped)
            await Cluster.StopAsync(victim);
        else
            await Cluster.KillAsync(victim);
        await sending;
        foreach (var topic in topics)
        {
            await Wait.UntilAsync(() => Task.FromResult(Received(topic).All(numbers => numbers.Distinct().Count() == Records)),
                "every record is received", () => Task.FromResult(Describe(topic)), TimeSpan.FromMinutes(3));
            Assert.All(Received(topic), StreamAssert.IsInOrder);
            await Cluster.DemandEmptyAsync(survivor, $"{topic}.dead-letter");
            output.WriteLine($"{topic}: {Received(topic).Sum(static numbers => numbers.Length) - (Keys * Records)} calls beyond the first");
        }
        // The last call may be received and its effect not stored yet.
        await Wait.UntilAsync(async () => (await TalliesAsync()).All(static tally => tally.Length >= Records), "every effect is stored",
            async () => string.Join('\n', (await TalliesAsync()).Select(static (tally, index) =>
                $"{(index % 2 == 0 ? "tally" : "journal")} {index / 2}: missing "
                + $"{string.Join(' ', Enumerable.Range(0, Records).Except(tally))}")));
        Assert.All(await TalliesAsync(), static tally => Assert.Equal(Enumerable.Range(0, Records), tally));

        async Task SendAsync()
        {
            for (var number = 0; number < Records; number++)
            {
                await Task.WhenAll(topics.SelectMany(topic => Enumerable.Range(0, Keys).Select(key =>
                    producer.SendAsync(new(topic, $"{prefix}{key}", $$"""{"number":{{number}}}""")).AsTask())));
            }
        }

        async Task<IReadOnlyList<int[]>> TalliesAsync()
        {
            var grains = Cluster.Get<IGrainFactory>(survivor);
            return await Task.WhenAll(Enumerable.Range(0, Keys).SelectMany(key => new[]
            {
                grains.GetGrain<ITallyGrain>($"{prefix}{key}").GetAsync(), grains.GetGrain<IJournalGrain>($"{prefix}{key}").GetAsync(),
            }));
        }

        IReadOnlyList<int[]> Received(string topic) =>
            [.. Enumerable.Range(0, Keys).Select(key => ConsumerScript.Received(topic, $"{prefix}{key}"))];

        string Describe(string topic) => string.Join('\n', Received(topic).Select((numbers, key) =>
            $"{topic} {key}: missing {string.Join(' ', Enumerable.Range(0, Records).Except(numbers))}"));
    }

    /// <summary>Prints rates; asserts where the grains are.</summary>
    [SkippableFact]
    public async Task Grains_are_activated_where_the_partition_of_their_key_is_led_unless_their_class_says_otherwise()
    {
        const int Grains = 60;
        const int Each = 100;
        foreach (var topic in (string[])["consume-near", "consume-spread"])
        {
            await Cluster.Broker(1).CreateTopicAsync(new NewTopic(topic, 6, 3));
            await Cluster.UntilInSyncAsync(topic);
            var queue = topic == "consume-near" ? "grains:orders" : "grains:spread";
            await Wait.UntilAsync(async () => (await Task.WhenAll(Enumerable.Range(0, 6).Select(partition =>
                CountAsync(new TopicPartition(topic, partition), queue)))).All(static count => count == 3),
                "all silos consume all partitions");
            // The first record of each key decides where its grain is.
            await SendAsync(topic, 0);
            var leaders = (await Cluster.Broker(1).DescribeTopicAsync(topic)).Partitions.ToDictionary(static partition =>
                partition.Partition, partition => Cluster.Get<ILocalSiloDetails>(partition.Leader).SiloAddress);
            Assert.Equal(3, leaders.Values.Distinct().Count());
            var near = Enumerable.Range(0, Grains).Select(key => ConsumerScript.Calls(topic, $"{key}")[0])
                .Count(call => ((IGrainBase)call.Grain).GrainContext.Address.SiloAddress!.Equals(leaders[call.Record.Partition]));
            var clock = Stopwatch.StartNew();
            for (var number = 1; number < Each; number++)
                await SendAsync(topic, number);
            output.WriteLine($"{topic}: {near} of {Grains} grains on their leader's silo, "
                + $"{Grains * (Each - 1) / clock.Elapsed.TotalSeconds:n0} records/s, {clock.ElapsedMilliseconds / (Each - 1)} ms a round");
            if (topic == "consume-near")
                Assert.Equal(Grains, near);
            else
                Assert.InRange(near, 1, Grains - 1);
        }

        async Task<int> CountAsync(TopicPartition partition, string queue)
        {
            var found = await Cluster.Broker(1).Queues.ListAsync(partition);
            return found.SingleOrDefault(listed => listed.Name == queue)?.Consumers ?? 0;
        }

        async Task SendAsync(string topic, int number)
        {
            await using var producer = new OrleansMqClient(Cluster.Broker(1)).CreateProducer<string, string>();
            await Task.WhenAll(Enumerable.Range(0, Grains).Select(key =>
                producer.SendAsync(new(topic, $"{key}", $$"""{"number":{{number}}}""")).AsTask()));
            await Wait.UntilAsync(() => Enumerable.Range(0, Grains).All(key => ConsumerScript.Received(topic, $"{key}").Length > number),
                $"all records {number} of {topic}");
        }
    }
}
