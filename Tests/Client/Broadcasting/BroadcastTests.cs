using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Testing;
using OrleansMq.Tests.Client.Consuming;

namespace OrleansMq.Tests.Client.Broadcasting;

/// <summary>Broadcasts: which messages a subscription receives, and what becomes of those that its handler cannot handle.</summary>
public sealed class BroadcastTests : IAsyncLifetime
{
    private static readonly BroadcastOptions s_news = new()
    {
        Topic = "news",
        Retry = new() { MaxAttempts = 3, Backoff = TimeSpan.FromMilliseconds(1), MaxBackoff = TimeSpan.FromMilliseconds(1) },
        MetadataMaxAge = TimeSpan.FromMilliseconds(20),
    };

    private readonly ConcurrentQueue<(int Partition, string Value)> _received = [];
    private TestBroker _broker = null!;
    private GroupedBroker _faults = null!;
    private OrleansMqClient _client = null!;

    public async Task InitializeAsync()
    {
        _broker = await TestBroker.StartAsync();
        _faults = new GroupedBroker(_broker.Broker, _broker.Broker.Groups);
        _client = new OrleansMqClient(_faults);
        await _broker.Client.Admin.CreateTopicAsync("news", 3);
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public async Task Every_subscription_receives_each_message_after_its_answer_in_order_and_none_from_before()
    {
        await PublishAsync("before", 10);
        var others = new ConcurrentQueue<(int Partition, string Value)>();
        await using var first = await SubscribeAsync();
        await using var second = await SubscribeAsync(into: others);
        Assert.Equal(3, first.Assignment.Count);
        await PublishAsync("after", 60);
        foreach (var received in (ConcurrentQueue<(int Partition, string Value)>[])[_received, others])
        {
            await Wait.UntilAsync(() => received.Count == 60, "all are received");
            for (var partition = 0; partition < 3; partition++)
            {
                Assert.Equal(Enumerable.Range(0, 60).Where(number => number % 3 == partition).Select(static number => $"after {number}"),
                    received.Where(message => message.Partition == partition).Select(static message => message.Value));
            }
        }
        Assert.Equal(new BroadcastStatistics(60, 0, 0, 0), first.Statistics);
    }

    [Fact]
    public async Task Subscription_is_answered_when_the_end_of_every_partition_is_known()
    {
        await PublishAsync("before", 3);
        var (asked, known) = (new TaskCompletionSource(), new TaskCompletionSource());
        _faults.BeforeFindOffset = partition =>
        {
            if (partition.Partition != 2)
                return Task.CompletedTask;
            asked.TrySetResult();
            return known.Task;
        };
        var subscribing = SubscribeAsync();
        await asked.Task.SoonAsync();
        // Time for a wrong answer; a right one cannot come.
        await Task.Delay(50);
        Assert.False(subscribing.IsCompleted);
        known.SetResult();
        await using var subscription = await subscribing.SoonAsync();
        await PublishAsync("after", 3);
        await Wait.UntilAsync(() => _received.Count == 3, "those after the answer");
        Assert.Equal(["after 0", "after 1", "after 2"], _received.Select(static message => message.Value).Order());
    }

    [Fact]
    public async Task Message_whose_handler_fails_is_tried_again_then_skipped_and_counted()
    {
        var attempts = new ConcurrentQueue<string>();
        await using var subscription = await _client.SubscribeBroadcastAsync<Ignore, string>(s_news, (message, _) =>
        {
            attempts.Enqueue(message.Value);
            return message.Value switch
            {
                "after 3" => throw new InvalidOperationException("never"),
                "after 6" when attempts.Count(static value => value == "after 6") < 2 => throw new InvalidOperationException("not yet"),
                _ => Receive(message, _received),
            };
        });
        await PublishAsync("after", 12);
        await Wait.UntilAsync(() => _received.Count == 11, "the others");
        Assert.Equal(["after 0", "after 6", "after 9"], _received.Where(static message => message.Partition == 0)
            .Select(static message => message.Value));
        Assert.Equal((3, 2), (attempts.Count(static value => value == "after 3"), attempts.Count(static value => value == "after 6")));
        Assert.Equal(new BroadcastStatistics(11, 3, 1, 0), subscription.Statistics);
        Assert.Empty(subscription.Stopped);
    }

    [Fact]
    public async Task Message_that_cannot_be_deserialized_is_skipped()
    {
        var numbers = new ConcurrentQueue<int>();
        await using var subscription = await _client.SubscribeBroadcastAsync<Ignore, int>(s_news, (message, _) =>
        {
            numbers.Enqueue(message.Value);
            return default;
        });
        await using var text = _client.CreateProducer<Ignore, string>();
        await text.SendAsync(new("news", default, "no number") { Partition = 0 });
        await using var number = _client.CreateProducer<Ignore, int>();
        await number.SendAsync(new("news", default, 7) { Partition = 0 });
        // It is counted when its handler has returned.
        await Wait.UntilAsync(() => subscription.Statistics.Handled == 1, "the number is counted");
        Assert.Equal([7], numbers);
        Assert.Equal(new BroadcastStatistics(1, 0, 1, 0), subscription.Statistics);
    }

    [Fact]
    public async Task Messages_that_are_deleted_before_they_are_read_are_a_gap_after_which_it_goes_on()
    {
        var free = new TaskCompletionSource();
        _faults.OnFetch = async (request, cancellationToken) =>
        {
            await free.Task.WaitAsync(cancellationToken);
            return await _broker.Broker.FetchAsync(request, cancellationToken);
        };
        await using var subscription = await SubscribeAsync();
        await PublishAsync("after", 9);
        await _broker.Broker.DeleteRecordsAsync(new TopicPartition("news", 1), 2);
        free.SetResult();
        await Wait.UntilAsync(() => _received.Count == 7, "what is left");
        Assert.Equal(["after 7"], _received.Where(static message => message.Partition == 1).Select(static message => message.Value));
        Assert.Equal(1, subscription.Statistics.Gaps);
    }

    [Fact]
    public async Task Partition_whose_leader_moves_is_read_on_where_it_was()
    {
        var failures = new ConcurrentDictionary<long, ErrorCode>();
        _faults.OnFetch = (request, cancellationToken) =>
        {
            // Each offset is refused twice before it is read.
            if (failures.TryAdd(request.Partition.Partition + (10 * request.Offset), default))
                return new(FetchResult.Failed(ErrorCode.NotLeaderOrFollower, "moved"));
            return failures.TryAdd(-1 - request.Partition.Partition - (10 * request.Offset), default)
                ? new(FetchResult.Failed(ErrorCode.UnknownTopicOrPartition, "not heard of it"))
                : _broker.Broker.FetchAsync(request, cancellationToken);
        };
        await using var subscription = await SubscribeAsync(s_news with
        {
            Reader = new() { RetryBackoff = TimeSpan.FromMilliseconds(1), RetryBackoffMax = TimeSpan.FromMilliseconds(1) },
        });
        await PublishAsync("after", 30);
        await Wait.UntilAsync(() => _received.Count >= 30, "all are received");
        Assert.Equal(30, _received.Distinct().Count());
        Assert.Equal(30, _received.Count);
    }

    [Fact]
    public async Task Partition_that_is_added_is_read_from_its_first_message()
    {
        await using var subscription = await SubscribeAsync();
        await _broker.Client.Admin.AddPartitionsAsync("news", 4);
        await using var producer = _broker.Client.CreateProducer<Ignore, string>();
        await producer.SendAsync(new("news", default, "first") { Partition = 3 });
        await Wait.UntilAsync(() => _received.Contains((3, "first")), "the message of the new partition");
    }

    [Fact]
    public async Task Answers_that_no_broker_gives_do_not_end_a_subscription_that_has_begun()
    {
        await using var subscription = await SubscribeAsync(s_news with
        {
            Reader = new() { RetryBackoff = TimeSpan.FromMilliseconds(1), RetryBackoffMax = TimeSpan.FromMilliseconds(1) },
        });
        var left = 3;
        // A proxy answers in place of a broker.
        _faults.OnListTopics = () => Interlocked.Decrement(ref left) < 0 ? null
            : throw new BrokerException(ErrorCode.UnknownServerError, "404");
        await Wait.UntilAsync(() => Volatile.Read(ref left) < 0 || subscription.Completion.IsCompleted, "the topics are listed again");
        Assert.False(subscription.Completion.IsCompleted);
        await PublishAsync("after", 3);
        await Wait.UntilAsync(() => _received.Count == 3, "those after the failures");
    }

    [Fact]
    public async Task Subscription_that_begins_with_an_answer_that_no_retry_mends_is_refused()
    {
        _faults.OnListTopics = static () => throw new BrokerException(ErrorCode.UnknownServerError, "404");
        await Assert.ThrowsAsync<ConsumerGroupException>(() => SubscribeAsync().SoonAsync());
    }

    [Theory]
    [InlineData(ErrorCode.TopicAuthorizationFailed)]
    [InlineData(ErrorCode.ClusterAuthorizationFailed)]
    [InlineData(ErrorCode.SaslAuthenticationFailed)]
    public async Task Refusal_of_the_client_ends_a_subscription(ErrorCode refusal)
    {
        await using var subscription = await SubscribeAsync();
        _faults.OnListTopics = () => throw new BrokerException(refusal, "not for this client");
        var failure = await Assert.ThrowsAsync<ConsumerGroupException>(() => subscription.Completion.SoonAsync());
        Assert.Equal(refusal, Assert.IsType<BrokerException>(failure.InnerException).Code);
    }

    [Fact]
    public async Task Topic_that_does_not_exist_is_refused_at_once()
    {
        var failure = await Assert.ThrowsAsync<BrokerException>(() => SubscribeAsync(s_news with { Topic = "none" }).SoonAsync());
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, failure.Code);
    }

    [Fact]
    public async Task Subscription_that_ends_cancels_the_call_that_outlasts_it_and_its_retries()
    {
        var (reached, cancelled) = (new TaskCompletionSource(), new TaskCompletionSource());
        var subscription = await _client.SubscribeBroadcastAsync<Ignore, string>(s_news with { DrainTimeout = TimeSpan.Zero },
            async (message, stopping) =>
            {
                await using var registration = stopping.Register(cancelled.SetResult);
                reached.TrySetResult();
                await cancelled.Task;
                stopping.ThrowIfCancellationRequested();
            });
        await PublishAsync("after", 1);
        await reached.Task.SoonAsync();
        await subscription.DisposeAsync().SoonAsync();
        await cancelled.Task.SoonAsync();
        await subscription.Completion.SoonAsync();
        Assert.Equal(default, subscription.Statistics);
    }

    [Fact]
    public async Task Topic_that_must_not_be_read_refuses_the_subscription_as_one_that_does_not_exist()
    {
        _faults.BeforeFindOffset = static partition =>
            throw new BrokerException(ErrorCode.TopicAuthorizationFailed, $"'{partition.Topic}' must not be read.");
        var failure = await Assert.ThrowsAsync<BrokerException>(() => SubscribeAsync().SoonAsync());
        Assert.Equal(ErrorCode.TopicAuthorizationFailed, failure.Code);
    }

    [Fact]
    public async Task Options_out_of_range_are_named()
    {
        var failure = await Assert.ThrowsAsync<ArgumentException>(() => SubscribeAsync(s_news with { Topic = "" }));
        Assert.Contains("BroadcastOptions.Topic is not empty", failure.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<ArgumentException>(() => SubscribeAsync(s_news with { Retry = new() { MaxAttempts = 0 } }));
    }

    [Fact]
    public async Task Hosts_that_have_started_receive_every_message_each()
    {
        var inboxes = new[] { new Inbox(), new Inbox() };
        var hosts = inboxes.Select(inbox =>
        {
            var builder = Host.CreateApplicationBuilder();
            builder.Services.AddSingleton(inbox).AddOrleansMqClient().UseBroker(_broker.Broker).AddTopic("alerts", 2)
                .AddBroadcastHandler<Ignore, string, Listening>(new() { Topic = "alerts" });
            return builder.Build();
        }).ToArray();
        foreach (var host in hosts)
            await host.StartAsync().SoonAsync();
        await using var producer = _broker.Client.CreateProducer<Ignore, string>();
        for (var number = 0; number < 10; number++)
            await producer.SendAsync(new("alerts", default, $"{number}") { Partition = number % 2 });
        foreach (var inbox in inboxes)
            await Wait.UntilAsync(() => inbox.Values.Count == 10, "each host has all");
        Assert.Equal("Listening", hosts[0].Services.GetServices<IHostedMessageHandler>().Single().Name);
        foreach (var host in hosts)
        {
            await host.StopAsync().SoonAsync();
            host.Dispose();
        }
    }

    [Fact]
    public async Task Host_whose_topic_is_missing_does_not_start()
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Services.AddSingleton<Inbox>().AddOrleansMqClient().UseBroker(_broker.Broker)
            .AddBroadcastHandler<Ignore, string, Listening>(new() { Topic = "none" });
        using var host = builder.Build();
        var failure = await Assert.ThrowsAsync<BrokerException>(() => host.StartAsync().SoonAsync());
        Assert.Equal(ErrorCode.UnknownTopicOrPartition, failure.Code);
    }

    private Task<BroadcastSubscription<Ignore, string>> SubscribeAsync(BroadcastOptions? options = null,
        ConcurrentQueue<(int, string)>? into = null) =>
        _client.SubscribeBroadcastAsync<Ignore, string>(options ?? s_news, (message, _) => Receive(message, into ?? _received));

    private static ValueTask Receive(ConsumeResult<Ignore, string> message, ConcurrentQueue<(int, string)> into)
    {
        into.Enqueue((message.TopicPartition.Partition, message.Value));
        return default;
    }

    private async Task PublishAsync(string text, int count)
    {
        await using var producer = _broker.Client.CreateProducer<Ignore, string>();
        for (var number = 0; number < count; number++)
            await producer.SendAsync(new("news", default, $"{text} {number}") { Partition = number % 3 });
    }

    internal sealed class Inbox
    {
        public ConcurrentQueue<string> Values { get; } = [];
    }

    internal sealed class Listening(Inbox inbox) : IMessageHandler<Ignore, string>
    {
        public ValueTask HandleAsync(ConsumeResult<Ignore, string> record, CancellationToken cancellationToken)
        {
            inbox.Values.Enqueue(record.Value);
            return default;
        }
    }
}
