using Microsoft.Extensions.Logging;
using OrleansMq.Client;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>What consumers and handlers log: every change of their assignment, and one line for what is wrong.</summary>
public sealed class ConsumerLogTests : IAsyncLifetime
{
    private readonly RecordedLog _log = new();
    private TestBroker _broker = null!;
    private OrleansMqClient _client = null!;

    public async Task InitializeAsync()
    {
        _broker = await TestBroker.StartAsync();
        _client = new OrleansMqClient(_broker.Client.Broker, null, _log);
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    private static ConsumerOptions Options { get; } = new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest };

    private bool Has(LogLevel level, params string[] words) =>
        _log.At(level).Any(line => words.All(word => line.Contains(word, StringComparison.Ordinal)));

    [Fact]
    public async Task Topic_that_does_not_exist_is_warned_of_once()
    {
        await using var processor = _client.CreateProcessor<string, string>(Options, new() { Topics = ["ordres"] }, (_, _) => default);
        processor.Start();
        await Wait.UntilAsync(() => Has(LogLevel.Warning, "billing", "ordres"), "the warning");
        await _broker.Client.Admin.CreateTopicAsync("ordres");
        await Wait.UntilAsync(() => processor.Consumer.Assignment.Count == 1, "the assignment");
        Assert.Single(_log.At(LogLevel.Warning));
    }

    [Fact]
    public async Task Pattern_that_matches_no_topic_is_warned_of()
    {
        await using var consumer = _client.CreateConsumer<string, string>(Options);
        consumer.SubscribePattern("orders-.*");
        await Wait.UntilAsync(() => Has(LogLevel.Warning, "billing", "orders-.*"), "the warning");
    }

    [Theory]
    [InlineData(GroupType.Consumer)]
    [InlineData(GroupType.Classic)]
    public async Task Join_assignment_and_revocation_are_logged(GroupType protocol)
    {
        await _broker.Client.Admin.CreateTopicAsync("orders", 2);
        await using (var consumer = _client.CreateConsumer<string, string>(Options with { Protocol = protocol }))
        {
            consumer.Subscribe("orders");
            await Wait.UntilAsync(() => Has(LogLevel.Information, "billing", "assigned", "orders-0", "orders-1"), "the assignment");
            Assert.True(Has(LogLevel.Information, "billing", "joined", consumer.GroupMetadata.MemberId));
        }
        Assert.True(Has(LogLevel.Information, "billing", "revoked", "orders-0", "orders-1"));
        Assert.True(Has(LogLevel.Information, "billing", "left"));
        Assert.Empty(_log.At(LogLevel.Warning));
    }

    [Fact]
    public async Task Restarted_instance_takes_over_at_once_and_fences_the_one_that_died()
    {
        await _broker.Client.Admin.CreateTopicAsync("orders", 2);
        var options = Options with { GroupInstanceId = "till 3" };
        await using var dead = _client.CreateConsumer<string, string>(options);
        dead.Subscribe("orders");
        await Wait.UntilAsync(() => dead.Assignment.Count == 2, "the first assignment");
        await using var restarted = _client.CreateConsumer<string, string>(options);
        restarted.Subscribe("orders");
        await Wait.UntilAsync(() => restarted.Assignment.Count == 2, "the second assignment");
        var fenced = await Assert.ThrowsAsync<ConsumerGroupException>(() => dead.ReadAsync().SoonAsync());
        Assert.True(fenced.Code is ErrorCode.FencedInstanceId or ErrorCode.UnreleasedInstanceId);
        Assert.Equal(2, restarted.Assignment.Count);
        Assert.DoesNotContain(_log.At(LogLevel.Warning), line => line.Contains("heartbeat failed", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Reading_without_a_subscription_throws()
    {
        await using var consumer = _client.CreateConsumer<string, string>(Options);
        var failure = await Assert.ThrowsAsync<InvalidOperationException>(() => consumer.ReadAsync(TimeSpan.Zero).SoonAsync());
        Assert.Contains("Subscribe", failure.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<InvalidOperationException>(() => consumer.ReadAsync().SoonAsync());
    }

    [Fact]
    public async Task Broadcast_consumer_finds_a_topic_created_later_at_once()
    {
        var clock = new ManualTimeProvider();
        var lookUps = 0;
        var watched = new GroupedBroker(_broker.Client.Broker, _broker.Client.Broker.Groups)
        {
            OnGetTopic = _ => Interlocked.Increment(ref lookUps),
        };
        await using var consumer = new OrleansMqClient(watched, null, _log).CreateConsumer<string, string>(new()
        {
            AutoOffsetReset = AutoOffsetReset.Latest, Broadcast = true, Reader = new() { TimeProvider = clock },
            MetadataMaxAge = TimeSpan.FromHours(2),
        });
        consumer.Subscribe("orders");
        await Wait.UntilAsync(() => Has(LogLevel.Warning, "orders"), "the warning");
        // The second look-up is that of the consumer's membership, which has listed the topics before. The warning is not.
        await Wait.UntilAsync(() => { clock.Advance(TimeSpan.FromMilliseconds(10)); return Volatile.Read(ref lookUps) >= 2; }, "a look");
        await _broker.Client.Admin.CreateTopicAsync("orders");
        await using (var producer = _broker.Client.CreateProducer<string, string>())
            await producer.SendAsync(new("orders", "customer-7", "two apples"));
        var begin = clock.GetTimestamp();
        await Wait.UntilAsync(() => { clock.Advance(TimeSpan.FromMilliseconds(10)); return consumer.Assignment.Count == 1; }, "the topic");
        // The clock runs faster than the broker answers: topics are listed anyway in two hours only.
        Assert.InRange(clock.GetElapsedTime(begin), TimeSpan.Zero, TimeSpan.FromHours(1));
        // A read that is tried again waits by the clock.
        var reading = consumer.ReadAsync().AsTask();
        await Wait.UntilAsync(() => { clock.Advance(TimeSpan.FromMilliseconds(10)); return reading.IsCompleted; }, "the record");
        Assert.Equal("two apples", (await reading).Value);
    }

    [Fact]
    public async Task Thousand_undecodable_records_are_a_few_lines_that_count_them()
    {
        await _broker.Client.Admin.CreateTopicAsync("orders");
        await using (var producer = _broker.Client.CreateProducer<string, string>())
        {
            for (var i = 0; i < 1000; i++)
                await producer.EnqueueAsync(new("orders", "customer-7", "no number"));
        }
        await using (var processor = _client.CreateProcessor<string, int>(Options, new() { Topics = ["orders"] }, (_, _) => default))
        {
            processor.Start();
            await Wait.UntilAsync(() => processor.Statistics.DeadLettered == 1000, "the dead letters");
        }
        var errors = _log.At(LogLevel.Error);
        Assert.InRange(_log.Lines.Count(line => line.Contains("dead-letter", StringComparison.Ordinal)), 2, 20);
        Assert.InRange(_log.Lines.Count, 2, 30);
        Assert.All(errors, line => Assert.Contains("billing", line, StringComparison.Ordinal));
        Assert.All(errors, line => Assert.Contains("orders.dead-letter", line, StringComparison.Ordinal));
        Assert.All(errors, line => Assert.DoesNotContain('\n', line));
        // The first of a series has a line of its own; the others are counted.
        Assert.Equal(1000, errors.Sum(line => System.Text.RegularExpressions.Regex.Match(line, "(\\d+) more") is { Success: true } more
            ? int.Parse(more.Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture) : 1));
    }
}
