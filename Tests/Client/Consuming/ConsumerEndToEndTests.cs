using System.Collections.Concurrent;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>Consumers over a real broker with its real coordinator.</summary>
public sealed class ConsumerEndToEndTests : IAsyncLifetime
{
    private const string Topic = "orders";
    private const int Partitions = 6;

    private TestBroker _broker = null!;

    private OrleansMqClient Client => _broker.Client;

    public async Task InitializeAsync()
    {
        _broker = await TestBroker.StartAsync();
        await Client.Admin.CreateTopicAsync(Topic, Partitions);
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    private static ConsumerOptions Options(GroupType protocol) => new()
    {
        GroupId = "billing",
        AutoOffsetReset = AutoOffsetReset.Earliest,
        Protocol = protocol,
        HeartbeatInterval = TimeSpan.FromMilliseconds(100),
        SessionTimeout = TimeSpan.FromMinutes(1),
        AutoCommitInterval = TimeSpan.FromMilliseconds(50),
    };

    private async Task SendAsync(int first, int count)
    {
        await using var producer = Client.CreateProducer<int, int>();
        for (var i = first; i < first + count; i++)
            await producer.EnqueueAsync(new(Topic, i, i));
    }

    /// <summary>A consumer that reads until it is stopped.</summary>
    private sealed class Reading : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly Task _loop;

        public Reading(OrleansMqClient client, ConsumerOptions options, ConcurrentQueue<int> read, string? regex = null)
        {
            Consumer = client.CreateConsumer<int, int>(options);
            if (regex is null)
                Consumer.Subscribe(Topic);
            else
                Consumer.SubscribePattern(regex);
            _loop = Task.Run(async () =>
            {
                try
                {
                    await foreach (var record in Consumer.WithCancellation(_stop.Token))
                        read.Enqueue(record.Value);
                }
                catch (OperationCanceledException)
                {
                    // Stopped: the last record counts as processed, since the next was requested.
                }
            });
        }

        public IConsumer<int, int> Consumer { get; }

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _loop;
            await Consumer.DisposeAsync();
            _stop.Dispose();
        }
    }

    private static Task AssignedAsync(params Reading[] readings) => Wait.UntilAsync(() =>
        {
        // Each is read once, since assignments change concurrently.
        var shares = readings.Select(static reading => reading.Consumer.Assignment).ToList();
        return shares.Sum(static share => share.Count) == Partitions && shares.All(static share => share.Count > 0)
            && shares.SelectMany(static share => share).Distinct().Count() == Partitions;
    }, "each partition has one consumer");

    [Theory]
    [InlineData(GroupType.Consumer)]
    [InlineData(GroupType.Classic)]
    public async Task Consumers_that_join_and_leave_read_each_record_once(GroupType protocol)
    {
        var read = new ConcurrentQueue<int>();
        await SendAsync(0, 500);
        await using (var first = new Reading(Client, Options(protocol), read))
        {
            await Wait.UntilAsync(() => read.Count == 500, "the first 500");
            await using (var second = new Reading(Client, Options(protocol), read))
            {
                await AssignedAsync(first, second);
                await SendAsync(500, 500);
                await Wait.UntilAsync(() => read.Count >= 1000, "1000");
                await using var third = new Reading(Client, Options(protocol), read);
                await AssignedAsync(first, second, third);
                await SendAsync(1000, 500);
                await Wait.UntilAsync(() => read.Count >= 1500, "1500");
            }
            await AssignedAsync(first);
            await SendAsync(1500, 500);
            await Wait.UntilAsync(() => read.Count >= 2000, "2000");
        }
        Assert.Equal(Enumerable.Range(0, 2000), read.Order());
        await using var last = new Reading(Client, Options(protocol), read);
        await AssignedAsync(last);
        await SendAsync(2000, 1);
        await Wait.UntilAsync(() => read.Count >= 2001, "only what is new");
        Assert.Equal(2001, read.Distinct().Count());
        Assert.Equal(2001, read.Count);
    }

    [Fact]
    public async Task Classic_and_consumer_members_share_a_group()
    {
        var read = new ConcurrentQueue<int>();
        await using var classic = new Reading(Client, Options(GroupType.Classic), read);
        await AssignedAsync(classic);
        await using var modern = new Reading(Client, Options(GroupType.Consumer), read);
        await AssignedAsync(classic, modern);
        await SendAsync(0, 600);
        await Wait.UntilAsync(() => read.Count >= 600, "all records");
        Assert.Equal(Enumerable.Range(0, 600), read.Order());
    }

    [Theory]
    [InlineData(GroupType.Consumer)]
    [InlineData(GroupType.Classic)]
    public async Task Uncommitted_records_are_read_again(GroupType protocol)
    {
        await SendAsync(0, 100);
        var read = new ConcurrentQueue<int>();
        await using (var crashing = new Reading(Client, Options(protocol) with { AutoCommit = false }, read))
            await Wait.UntilAsync(() => read.Count == 100, "all, without a commit");
        await using var next = new Reading(Client, Options(protocol), read);
        await Wait.UntilAsync(() => read.Count == 200, "all of it again");
        Assert.All(read.GroupBy(value => value), value => Assert.Equal(2, value.Count()));
    }

    [Theory]
    [InlineData(GroupType.Consumer)]
    [InlineData(GroupType.Classic)]
    public async Task Pattern_subscription_finds_topics_created_later(GroupType protocol)
    {
        var read = new ConcurrentQueue<int>();
        await using var reading = new Reading(Client, Options(protocol) with { MetadataMaxAge = TimeSpan.FromMilliseconds(50) }, read,
            "ord.*|bills");
        await AssignedAsync(reading);
        await Client.Admin.CreateTopicAsync("bills", 1);
        await using var producer = Client.CreateProducer<int, int>();
        await producer.SendAsync(new("bills", 1, 77));
        await Wait.UntilAsync(() => read.Contains(77), "the new topic");
        await Client.Admin.AddPartitionsAsync(Topic, Partitions + 1);
        await Wait.UntilAsync(() => reading.Consumer.Assignment.Count == Partitions + 2, "the new partition");
    }

    [Fact]
    public async Task Cooperative_classic_members_lose_only_moved_partitions()
    {
        var heard = new Heard();
        var read = new ConcurrentQueue<int>();
        var options = Options(GroupType.Classic) with { Assignors = ["cooperative-sticky"] };
        await using var first = new Reading(Client, options with { RebalanceListener = heard }, read);
        await AssignedAsync(first);
        await using var second = new Reading(Client, options, read);
        await AssignedAsync(first, second);
        Assert.Equal(3, first.Consumer.Assignment.Count);
        var moved = string.Join(' ', Enumerable.Range(0, Partitions).Except(first.Consumer.Assignment.Select(item => item.Partition)));
        Assert.Equal(["assigned 0 1 2 3 4 5", $"revoked {moved}"], heard.All);
        await SendAsync(0, 300);
        await Wait.UntilAsync(() => read.Count >= 300, "all records");
        Assert.Equal(Enumerable.Range(0, 300), read.Order());
    }

    [Fact]
    public async Task Static_classic_member_rejoins_without_a_rebalance()
    {
        var heard = new Heard();
        var read = new ConcurrentQueue<int>();
        await using var other = new Reading(Client, Options(GroupType.Classic) with { RebalanceListener = heard, GroupInstanceId = "one" },
            read);
        await AssignedAsync(other);
        await using (var before = new Reading(Client, Options(GroupType.Classic) with { GroupInstanceId = "two" }, read))
            await AssignedAsync(other, before);
        // The assignment is visible a little before the listener is called.
        await Wait.UntilAsync(() => heard.All is [.., var last]
            && last == $"assigned {string.Join(' ', other.Consumer.Assignment.Select(static item => item.Partition).Order())}",
            "the listener to have heard of its share");
        var heardBefore = heard.All.Count;
        await using var after = new Reading(Client, Options(GroupType.Classic) with { GroupInstanceId = "two" }, read);
        await AssignedAsync(other, after);
        Assert.Equal(heardBefore, heard.All.Count);
    }

    [Theory]
    [InlineData(HandlingParallelism.Partition)]
    [InlineData(HandlingParallelism.Key)]
    public async Task Handlers_process_more_records_than_the_buffers_hold(HandlingParallelism parallelism)
    {
        const int Count = 60_000;
        await using (var producer = Client.CreateProducer<int, byte[]>())
        {
            for (var i = 0; i < Count; i++)
                await producer.EnqueueAsync(new(Topic, i, new byte[100]));
        }
        var processor = Client.CreateProcessor<Ignore, ReadOnlyMemory<byte>>(Options(GroupType.Consumer),
            new() { Topics = [Topic], Parallelism = parallelism }, (_, _) => default);
        processor.Start();
        try
        {
            await Wait.UntilAsync(() => processor.Statistics.Handled == Count, "all records");
        }
        catch (Exception)
        {
            Assert.Fail($"{processor.Statistics} {processor.Completion.Status} {string.Join(',', processor.Consumer.Assignment)} stopped "
                + $"{string.Join(',', processor.Stopped)} {processor.Completion.Exception}");
        }
        await processor.StopAsync().SoonAsync();
        var committed = await _broker.Broker.Groups.FetchOffsetsAsync(new OffsetFetch { GroupId = "billing" });
        Assert.Equal(Count, committed.Partitions.Sum(partition => partition.Offset!.Offset));
    }

    [Fact]
    public async Task Member_closes_quietly_when_closed_twice_or_never_joined()
    {
        var consumer = Client.CreateConsumer<int, int>(Options(GroupType.Consumer));
        await consumer.CloseAsync().SoonAsync();
        await consumer.DisposeAsync().SoonAsync();
        Assert.Throws<ObjectDisposedException>(() => consumer.Subscribe(Topic));
    }
}
