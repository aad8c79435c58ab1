using System.Collections.Concurrent;
using System.Text;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Partitions.Schedules;
using OrleansMq.Producers;
using OrleansMq.Storage;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.Tests.Shared;
using OrleansMq.Topics;

namespace OrleansMq.Tests.Engine.Schedules;

/// <summary>Schedules whose topics refuse, fail, or do not answer: each record is appended once, and other topics do not wait.</summary>
public sealed class ScheduleFaultTests : IAsyncLifetime
{
    private readonly ManualClock _clock = new();
    private readonly MemoryFileSystem _files = new();
    private readonly LogLines _lines = new();
    private LocalBroker _broker = null!;

    public async Task InitializeAsync()
    {
        _broker = await OpenAsync(_files);
        await _broker.CreateTopicAsync(new NewTopic("orders", 1));
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public async Task Answered_schedule_survives_a_power_cut_whatever_the_flush_policy_of_topics_is()
    {
        await ScheduleAsync("orders", "a");
        var config = (await _broker.DescribeTopicAsync(InternalTopics.Schedules)).Configs
            .ToDictionary(config => config.Name, config => config.Value);
        Assert.Equal(("1", "false"), (config["flush.messages"], config["unclean.leader.election.enable"]));
        var left = _files.PowerCut(new Random(1));
        await using var next = await OpenAsync(left);
        var found = await SchedulingTest.UntilAsync(async () => (await next.Schedules.ListAsync(new ScheduleQuery())).Schedules,
            schedules => schedules.Count == 1);
        Assert.Equal("orders", found[0].Topic);
    }

    [Theory]
    [InlineData(2, false)]
    [InlineData(3, false)]
    [InlineData(3, true)]
    [InlineData(5, true)]
    public async Task Missing_part_of_an_intent_is_appended_where_its_topic_has_the_other_part(int each, bool isCarriedOut)
    {
        await _broker.CreateTopicAsync(new NewTopic("compacted", 1));
        var calls = 0;
        Use(new FaultyBroker(_broker)
        {
            // Most of an intent's batches are appended; each so many is lost, or its answer is.
            Produce = async (partition, send) =>
            {
                var isLost = Interlocked.Increment(ref calls) % each == 0;
                var result = !isLost || isCarriedOut ? await send() : default;
                return isLost ? ProduceResult.Failed(ErrorCode.RequestTimedOut, "The answer was lost.") : result;
            },
        });
        // A record without key is refused: its intent is appended in parts.
        var values = Enumerable.Range(0, 120).Select(i => $"{i:000}").ToArray();
        foreach (var value in values)
            await ScheduleAsync("compacted", value, hasKey: value[2] != '3');
        await _broker.AlterTopicAsync("compacted", new Dictionary<string, string?> { ["cleanup.policy"] = "compact" });
        await DeliverAsync("compacted", [.. values.Where(value => value[2] != '3')]);
    }

    [Fact]
    public async Task Record_that_is_larger_than_its_topic_allows_waits_until_the_limit_is_raised_and_the_others_arrive()
    {
        await _broker.CreateTopicAsync(new NewTopic("small", 1));
        var values = Enumerable.Range(0, 40).Select(i => i % 4 == 0 ? new string('x', 2_000 + i) : $"{i:000}").ToArray();
        foreach (var value in values)
            await ScheduleAsync("small", value, hasKey: false, id: value.Length > 3 ? $"{value.Length}" : value);
        await _broker.AlterTopicAsync("small", new Dictionary<string, string?> { ["max.message.bytes"] = "1000" });
        await DeliverAsync("small", [.. values.Where(value => value.Length == 3)]);
        await SchedulingTest.UntilAsync(async () => (await _broker.Schedules.ListAsync(new ScheduleQuery())).Schedules,
            schedules => schedules.Count == 10 && schedules.All(schedule => schedule.Refusal is not null));
        Assert.Matches("^The record takes a batch of [0-9]+ bytes; max.message.bytes of 'small' is 1000.$",
            (await _broker.Schedules.FindAsync("small", "2000"))!.Refusal);
        var line = _lines.Of(EngineLogLevel.Warning).First(line => line.Contains("max.message.bytes", StringComparison.Ordinal));
        Assert.Contains("omq topic alter small --config max.message.bytes=", line);
        Assert.Contains("schedule '20", line);
        // The limit allows some of them: those arrive.
        await _broker.AlterTopicAsync("small", new Dictionary<string, string?> { ["max.message.bytes"] = "2080" });
        await DeliverAsync("small", [.. values.Where(value => value.Length < 2_010)]);
        await _broker.AlterTopicAsync("small", new Dictionary<string, string?> { ["max.message.bytes"] = "1000000" });
        await DeliverAsync("small", values);
        // The target's log has letters of a producer that clients cannot take for their own.
        var client = _broker.Access.Open(BrokerSession.InProcess).Broker;
        var forged = TestBatches.From(new ProducerIdentity(LetterProducers.IdOfSchedules(Guid.NewGuid(), 0, 1),
            LetterProducers.ScheduleEpoch), 0, "x");
        Assert.Equal(ErrorCode.TopicAuthorizationFailed,
            (await client.ProduceAsync(new TopicPartition("small", 0), forged, Acks.All)).Error);
    }

    [Fact]
    public async Task Topic_that_cannot_be_looked_up_or_appended_to_stops_no_other_topic()
    {
        foreach (var topic in (string[])["damaged", "refusing", "throwing"])
            await _broker.CreateTopicAsync(new NewTopic(topic, 1));
        var isFaulty = true;
        var faulty = new FaultyBroker(_broker)
        {
            Find = topic => topic == "damaged" && isFaulty
                ? throw new BrokerException(ErrorCode.KafkaStorageError, "The topic's document is damaged.") : default,
            Produce = async (partition, send) => partition.Topic switch
            {
                "refusing" when isFaulty => ProduceResult.Failed(ErrorCode.NotEnoughReplicas, "Too few replicas."),
                "throwing" when isFaulty => throw new InvalidOperationException("The target's broker is gone."),
                _ => await send(),
            },
        };
        Use(faulty);
        var values = Enumerable.Range(0, 40).Select(i => $"{i:000}").ToArray();
        foreach (var value in values)
        {
            foreach (var topic in (string[])["damaged", "refusing", "throwing", "orders"])
                await ScheduleAsync(topic, value, id: topic + value);
        }
        await DeliverAsync("orders", values);
        isFaulty = false;
        foreach (var topic in (string[])["damaged", "refusing", "throwing"])
            await DeliverAsync(topic, values);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Record_for_a_partition_that_its_broker_does_not_know_yet_waits_for_it(bool isConfirmedLate)
    {
        await _broker.CreateTopicAsync(new NewTopic("grown", 4));
        var lookups = 0;
        Use(new FaultyBroker(_broker)
        {
            Listed = listing => listing.Name == "grown" ? listing with { Partitions = 3 } : listing,
            Described = topic => topic.Name == "grown" && isConfirmedLate && Interlocked.Increment(ref lookups) < 3
                ? topic with { Partitions = [.. topic.Partitions.Take(3)] } : topic,
        });
        await _broker.Schedules.CreateAsync(new NewSchedule("grown") { Id = "x", At = _clock.GetUtcNow(), Partition = 3 });
        await SchedulingTest.UntilAsync(async () =>
        {
            _clock.Advance(TimeSpan.FromMilliseconds(100));
            return (await _broker.FindOffsetAsync(new TopicPartition("grown", 3), OffsetSpec.Latest)).Offset;
        }, end => end == 1);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Topic_that_was_created_again_under_the_name_gets_nothing(bool isMadeAgain)
    {
        var before = (await _broker.DescribeTopicAsync("orders")).TopicId;
        // What the schedules' broker knows of topics is behind.
        var isBehind = true;
        Use(new FaultyBroker(_broker) { Listed = listing => isBehind ? listing with { TopicId = before } : listing });
        await ScheduleAsync("orders", "for the first topic");
        await _broker.DeleteTopicAsync("orders");
        if (isMadeAgain)
            await _broker.CreateTopicAsync(new NewTopic("orders", 1));
        await SchedulingTest.UntilAsync(async () =>
        {
            _clock.Advance(TimeSpan.FromMilliseconds(100));
            return (await _broker.Schedules.ListAsync(new ScheduleQuery())).Schedules;
        }, schedules => schedules.Count == 0);
        if (!isMadeAgain)
            await _broker.CreateTopicAsync(new NewTopic("orders", 1));
        isBehind = false;
        await ScheduleAsync("orders", "for the second topic");
        await DeliverAsync("orders", ["for the second topic"]);
    }

    [Fact]
    public async Task Schedules_of_a_deleted_topic_leave_their_places_to_others()
    {
        for (var i = 0; i < 20; i++)
            await ScheduleAsync("orders", $"{i}", TimeSpan.FromDays(10_000));
        await _broker.CreateTopicAsync(new NewTopic("kept", 1));
        await ScheduleAsync("kept", "x", TimeSpan.FromDays(10_000));
        await _broker.DeleteTopicAsync("orders");
        var left = await SchedulingTest.UntilAsync(async () =>
        {
            _clock.Advance(TimeSpan.FromMinutes(1));
            return (await _broker.Schedules.ListAsync(new ScheduleQuery())).Schedules;
        }, schedules => schedules.Count == 1);
        Assert.Equal("kept", left[0].Topic);
    }

    [Fact]
    public async Task Topic_with_many_schedules_takes_no_place_of_another()
    {
        await _broker.CreateTopicAsync(new NewTopic("other", 1));
        await ScheduleAsync("orders", "first", TimeSpan.FromHours(1));
        for (var i = 0; i < 8; i++)
        {
            Assert.True(_broker.TryGet(new TopicPartition(InternalTopics.Schedules, i), out var partition));
            partition.Schedules.MostOfTopic = 2;
        }
        var refused = await Assert.ThrowsAsync<BrokerException>(async () =>
        {
            for (var i = 0; i < 17; i++)
                await ScheduleAsync("orders", $"{i}", TimeSpan.FromHours(1));
        });
        Assert.Equal(ErrorCode.PolicyViolation, refused.Code);
        Assert.Contains("2 schedules of topic 'orders' wait", refused.Message, StringComparison.Ordinal);
        for (var i = 0; i < 2; i++)
            await ScheduleAsync("other", $"{i}", TimeSpan.FromHours(1));
        for (var i = 0; i < 8; i++)
        {
            Assert.True(_broker.TryGet(new TopicPartition(InternalTopics.Schedules, i), out var partition));
            partition.Schedules.MostOfTopic = 0;
        }
        // A repeated request is answered as before.
        await ScheduleAsync("orders", "first", TimeSpan.FromHours(1));
    }

    [Fact]
    public async Task Many_targets_are_published_to_some_at_a_time()
    {
        const int Targets = 100;
        await _broker.CreateTopicAsync(new NewTopic("many", Targets));
        var (now, most) = (0, 0);
        var mayGo = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Use(new FaultyBroker(_broker)
        {
            Produce = async (_, send) =>
            {
                var running = Interlocked.Increment(ref now);
                lock (mayGo)
                    most = Math.Max(most, running);
                await mayGo.Task;
                var result = await send();
                Interlocked.Decrement(ref now);
                return result;
            },
        });
        for (var i = 0; i < Targets; i++)
            await _broker.Schedules.CreateAsync(new NewSchedule("many") { Id = $"{i}", At = _clock.GetUtcNow(), Partition = i });
        await SchedulingTest.UntilAsync(() => Task.FromResult(Volatile.Read(ref now)), running => running >= SchedulePublishes.Most);
        mayGo.SetResult();
        await EndsAsync("many", Targets);
        Assert.Equal(SchedulePublishes.Most, most);
    }

    [Fact]
    public async Task Targets_that_do_not_answer_keep_no_place_and_get_no_second_batch()
    {
        const int Targets = 40;
        await _broker.CreateTopicAsync(new NewTopic("hung", Targets));
        var asked = new ConcurrentDictionary<int, int>();
        var answer = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Use(new FaultyBroker(_broker)
        {
            Produce = async (partition, send) =>
            {
                if (partition.Topic != "hung")
                    return await send();
                asked.AddOrUpdate(partition.Partition, 1, (_, count) => count + 1);
                await answer.Task;
                return await send();
            },
        });
        for (var i = 0; i < Targets; i++)
            await _broker.Schedules.CreateAsync(new NewSchedule("hung") { Id = $"{i}", At = _clock.GetUtcNow(), Partition = i });
        await SchedulingTest.UntilAsync(() => Task.FromResult(asked.Count), count => count >= SchedulePublishes.Most);
        await ScheduleAsync("orders", "x");
        await DeliverAsync("orders", ["x"]);
        await SchedulingTest.UntilAsync(() =>
        {
            _clock.Advance(TimeSpan.FromMilliseconds(100));
            return Task.FromResult(asked.Count);
        }, count => count == Targets);
        Assert.All(asked.Values, count => Assert.Equal(1, count));
        answer.SetResult();
        await EndsAsync("hung", Targets);
    }

    // Each partition has one record.
    private async Task EndsAsync(string topic, int partitions)
    {
        var ends = await SchedulingTest.UntilAsync(async () =>
        {
            _clock.Advance(TimeSpan.FromMilliseconds(100));
            return await Task.WhenAll(Enumerable.Range(0, partitions).Select(async i => (await _broker.FindOffsetAsync(
                new TopicPartition(topic, i), OffsetSpec.Latest)).Offset));
        }, ends => ends.Sum() >= partitions);
        Assert.All(ends, end => Assert.Equal(1, end));
    }

    [Fact]
    public async Task Schedules_with_fewer_replicas_than_the_cluster_allows_say_how_to_add_some()
    {
        Use(new FaultyBroker(_broker)
        {
            Described = topic => topic.Name != InternalTopics.Schedules ? topic
                : topic with { Partitions = [.. topic.Partitions.Select(partition => partition with { Replicas = [1] })] },
            Cluster = cluster => cluster with { Brokers = [.. Enumerable.Repeat(cluster.Brokers[0], 4)] },
        });
        await ScheduleAsync("orders", "x", TimeSpan.FromDays(9));
        var warnings = await SchedulingTest.UntilAsync(() =>
        {
            _clock.Advance(TimeSpan.FromMinutes(1));
            return Task.FromResult(_lines.Of(EngineLogLevel.Warning).Where(line => line.Contains("replicas", StringComparison.Ordinal))
                .ToList());
        }, lines => lines.Count > 0);
        Assert.Contains("have 1 replicas, though the cluster has 4 brokers", warnings[0], StringComparison.Ordinal);
        Assert.Contains("omq partition reassign __schedules ", warnings[0], StringComparison.Ordinal);
        Assert.Contains("with 3 brokers", warnings[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task Clock_that_was_far_ahead_for_a_while_delivers_nothing_early_afterwards()
    {
        await ScheduleAsync("orders", "first");
        await DeliverAsync("orders", ["first"]);
        _clock.Ahead += TimeSpan.FromDays(10_000);
        await ScheduleAsync("orders", "past", TimeSpan.FromDays(-10_000));
        await SchedulingTest.UntilAsync(() => ValuesAsync("orders"), values => values.Count == 2);
        _clock.Ahead += -TimeSpan.FromDays(10_000);
        await ScheduleAsync("orders", "later", TimeSpan.FromHours(1));
        await ScheduleAsync("orders", "soon", TimeSpan.FromSeconds(1));
        await DeliverAsync("orders", ["first", "past", "soon"]);
        _clock.Advance(TimeSpan.FromMinutes(50));
        Assert.Single((await _broker.Schedules.ListAsync(new ScheduleQuery())).Schedules);
        _clock.Advance(TimeSpan.FromMinutes(10));
        await DeliverAsync("orders", ["first", "past", "soon", "later"]);
    }

    private void Use(IBroker broker)
    {
        Assert.True(_broker.TryGet(new TopicPartition("orders", 0), out var partition));
        partition.Ports.Broker = () => broker;
    }

    private Task<LocalBroker> OpenAsync(IFileSystem files) => LocalBroker.OpenAsync(new BrokerOptions
    {
        DataDirectory = "/data",
        FileSystem = files,
        TimeProvider = _clock,
        MinFreeBytes = 0,
        Log = _lines,
        TopicDefaults = TopicConfig.DefaultFor(FlushPolicy.None),
    });

    private async Task ScheduleAsync(string topic, string value, TimeSpan? delay = null, bool hasKey = true, string? id = null) =>
        await _broker.Schedules.CreateAsync(new NewSchedule(topic)
        {
            Id = id ?? value,
            At = _clock.GetUtcNow() + (delay ?? TimeSpan.FromSeconds(1)),
            Key = hasKey ? Encoding.UTF8.GetBytes(value) : (ReadOnlyMemory<byte>?)null,
            Value = Encoding.UTF8.GetBytes(value),
        });

    // Advances the clock until the topic has so many records: these, each once.
    private async Task DeliverAsync(string topic, string[] values)
    {
        await SchedulingTest.UntilAsync(() =>
        {
            _clock.Advance(TimeSpan.FromMilliseconds(100));
            return ValuesAsync(topic);
        }, found => found.Count >= values.Length);
        Assert.Equal(values.Order(), (await ValuesAsync(topic)).Order());
    }

    private async Task<IReadOnlyList<string>> ValuesAsync(string topic)
    {
        var values = new List<string>();
        while (true)
        {
            // A fetch ends with a segment, as after a step of the clock.
            using var fetched = await _broker.FetchAsync(new FetchRequest(new TopicPartition(topic, 0), values.Count));
            var records = TestBatches.Read(fetched.Records);
            if (records.Count == 0)
                return values;
            values.AddRange(records.Where(record => record.Offset >= values.Count).Select(record => record.Value).ToList());
        }
    }

    private sealed class FaultyBroker(IBroker inner) : ForwardingBroker(inner)
    {
        public Func<string, ValueTask> Find { get; init; } = _ => default;
        public Func<TopicPartition, Func<Task<ProduceResult>>, Task<ProduceResult>> Produce { get; init; } = (_, send) => send();

        public Func<TopicListing, TopicListing> Listed { get; init; } = listing => listing;
        public Func<TopicDescription, TopicDescription> Described { get; init; } = topic => topic;

        public Func<ClusterDescription, ClusterDescription> Cluster { get; init; } = cluster => cluster;

        public override async ValueTask<ClusterDescription> DescribeClusterAsync(CancellationToken cancellationToken = default) =>
            Cluster(await base.DescribeClusterAsync(cancellationToken));

        public override async ValueTask<TopicListing> GetTopicAsync(string topic, CancellationToken cancellationToken = default)
        {
            await Find(topic);
            return Listed(await base.GetTopicAsync(topic, cancellationToken));
        }

        public override async ValueTask<TopicDescription> DescribeTopicAsync(string topic, CancellationToken cancellationToken = default)
        {
            await Find(topic);
            return Described(await base.DescribeTopicAsync(topic, cancellationToken));
        }

        public override async ValueTask<ProduceResult> ProduceAsync(TopicPartition partition, Memory<byte> batch, Acks acks,
            CancellationToken cancellationToken = default) =>
            await Produce(partition, async () => await base.ProduceAsync(partition, batch, acks, cancellationToken));
    }
}
