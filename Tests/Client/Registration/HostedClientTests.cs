using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using OrleansMq.Client;
using OrleansMq.Testing;
using OrleansMq.Tests.Client.Consuming;

namespace OrleansMq.Tests.Client.Registration;

/// <summary>What a host does with the registered client: topics at the start, handlers with a context, health.</summary>
public sealed class HostedClientTests : IAsyncLifetime
{
    private static readonly ConsumerOptions s_billing = new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest };

    private readonly HostApplicationBuilder _builder = Host.CreateApplicationBuilder();
    private readonly Journal _journal = new();
    private TestBroker _broker = null!;

    public async Task InitializeAsync()
    {
        _broker = await TestBroker.StartAsync();
        _builder.Services.AddSingleton(_journal);
    }

    public async Task DisposeAsync() => await _broker.DisposeAsync();

    [Fact]
    public async Task Declared_topic_exists_before_handlers_start()
    {
        var broker = new GroupedBroker(_broker.Broker, _broker.Broker.Groups);
        _builder.Services.AddOrleansMqClient().UseBroker(broker)
            .AddMessageHandler<string, Careful>(s_billing, new() { Topics = ["orders"] })
            .AddTopic("orders", partitions: 3).AddTopic("bills");
        using var host = _builder.Build();
        var handler = host.Services.GetServices<IHostedMessageHandler>().Single();
        var early = new ConcurrentQueue<string>();
        broker.OnCreateTopic = topic =>
        {
            // It resumes only what has started.
            if (Record.Exception(() => handler.Resume(new("orders", 0))) is not InvalidOperationException)
                early.Enqueue(topic);
            return Task.CompletedTask;
        };
        await host.StartAsync().SoonAsync();
        Assert.Empty(early);
        handler.Resume(new("orders", 0));
        Assert.Equal(["bills", "orders"], (await _broker.Client.Admin.ListTopicsAsync()).Select(topic => topic.Name));
        Assert.Equal(3, (await _broker.Client.Admin.ListPartitionsAsync("orders")).Count);
        await host.StopAsync().SoonAsync();
    }

    [Fact]
    public async Task Keyed_producer_has_its_own_options_beside_the_other()
    {
        _builder.Services.AddOrleansMqClient().UseBroker(_broker.Broker).AddTopic("orders").AddProducer<string, string>()
            .AddKeyedProducer<string, string>("audit", new() { Acks = Acks.All });
        using var host = _builder.Build();
        await host.StartAsync().SoonAsync();
        var producer = host.Services.GetRequiredKeyedService<IProducer<string, string>>("audit");
        Assert.NotSame(host.Services.GetRequiredService<IProducer<string, string>>(), producer);
        Assert.Equal(0, (await producer.SendAsync(new("orders", "customer-7", "two apples")).SoonAsync()).Offset);
        await host.StopAsync().SoonAsync();
    }

    [Fact]
    public async Task Declared_topic_that_is_refused_fails_the_start()
    {
        await _broker.Client.Admin.CreateTopicAsync("orders", 1);
        _builder.Services.AddOrleansMqClient().UseBroker(_broker.Broker).AddTopic("orders", partitions: 3);
        using var host = _builder.Build();
        var failure = await Assert.ThrowsAsync<BrokerException>(() => host.StartAsync().SoonAsync());
        Assert.Equal(ErrorCode.InvalidPartitions, failure.Code);
    }

    [Theory]
    [InlineData(20_000, null, "A topic has 1 to 10000 partitions")]
    [InlineData(1, "-5", "Topic configuration 'retention.ms' cannot be '-5'")]
    public async Task Declared_topic_that_is_refused_is_named(int partitions, string? retention, string reason)
    {
        _builder.Services.AddOrleansMqClient().UseBroker(_broker.Broker).AddTopic("orders", partitions,
            retention is null ? null : new Dictionary<string, string> { ["retention.ms"] = retention });
        using var host = _builder.Build();
        var failure = await Assert.ThrowsAsync<BrokerException>(() => host.StartAsync().SoonAsync());
        Assert.StartsWith($"AddTopic: topic 'orders' is refused. {reason}", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Declared_topic_that_exists_needs_no_right_to_create_topics()
    {
        await _broker.Client.Admin.CreateTopicAsync("orders", 3);
        var broker = new GroupedBroker(_broker.Broker, _broker.Broker.Groups)
        {
            OnCreateTopic = _ => throw new BrokerException(ErrorCode.TopicAuthorizationFailed, "may not create"),
        };
        _builder.Services.AddOrleansMqClient().UseBroker(broker).AddTopic("orders", partitions: 2);
        using var host = _builder.Build();
        await host.StartAsync().SoonAsync();
        await host.StopAsync().SoonAsync();
    }

    [Fact]
    public async Task Topic_that_another_client_creates_first_is_ensured()
    {
        var broker = new GroupedBroker(_broker.Broker, _broker.Broker.Groups)
        {
            OnCreateTopic = topic => _broker.Client.Admin.CreateTopicAsync(topic, 2),
        };
        var admin = new OrleansMqClient(broker).Admin;
        Assert.Equal(2, (await admin.EnsureTopicAsync("orders", 1).SoonAsync()).Partitions.Count);
        var fewer = await Assert.ThrowsAsync<BrokerException>(() => admin.EnsureTopicAsync("orders", 3).SoonAsync());
        Assert.Equal(ErrorCode.InvalidPartitions, fewer.Code);
    }

    [Fact]
    public async Task Topic_that_the_client_may_create_and_not_describe_is_ensured()
    {
        var broker = new GroupedBroker(_broker.Broker, _broker.Broker.Groups)
        {
            OnDescribeTopic = _ => throw new BrokerException(ErrorCode.TopicAuthorizationFailed, "may not describe"),
        };
        var admin = new OrleansMqClient(broker).Admin;
        Assert.Equal(2, (await admin.EnsureTopicAsync("orders", 2).SoonAsync()).Partitions.Count);
        var refused = await Assert.ThrowsAsync<BrokerException>(() => admin.EnsureTopicAsync("orders", 2).SoonAsync());
        Assert.Equal((ErrorCode.TopicAuthorizationFailed, "may not describe"), (refused.Code, refused.Message));
    }

    [Fact]
    public async Task Stopping_host_sends_what_its_producers_hold_after_its_services_have_stopped()
    {
        await _broker.Client.Admin.CreateTopicAsync("orders");
        _builder.Services.AddHostedService<LastWords>();
        _builder.Services.AddOrleansMqClient().UseBroker(_broker.Broker)
            .AddProducer<Ignore, string>(new() { Linger = TimeSpan.FromSeconds(100) });
        using var host = _builder.Build();
        await host.StartAsync().SoonAsync();
        await host.StopAsync().SoonAsync();
        Assert.Equal(1, await _broker.Client.Admin.FindOffsetAsync(new("orders", 0), ReadFrom.Latest));
    }

    [Fact]
    public async Task Stopping_host_waits_for_its_producers_no_longer_than_it_may()
    {
        await _broker.Client.Admin.CreateTopicAsync("orders");
        var mayWrite = new TaskCompletionSource();
        var broker = new GroupedBroker(_broker.Broker, _broker.Broker.Groups) { BeforeProduce = _ => mayWrite.Task };
        _builder.Services.AddOrleansMqClient().UseBroker(broker).AddProducer<Ignore, string>().AddProducer<string, string>();
        using var host = _builder.Build();
        await host.StartAsync().SoonAsync();
        await host.Services.GetRequiredService<IProducer<Ignore, string>>().EnqueueAsync(new("orders", default, "a"));
        await host.StopAsync(new CancellationToken(canceled: true)).SoonAsync();
        mayWrite.SetResult();
    }

    [Fact]
    public async Task Handler_with_a_context_sees_attempts_and_gives_records_up()
    {
        _builder.Services.AddOrleansMqClient().UseBroker(_broker.Broker).AddTopic("orders").AddProducer<Ignore, string>()
            .AddMessageHandler<string, Careful>(s_billing, new()
            {
                Topics = ["orders"], OnFailure = FailureAction.StopPartition,
                Retry = new() { MaxAttempts = 3, Backoff = TimeSpan.FromMilliseconds(1), MaxBackoff = TimeSpan.FromMilliseconds(1) },
            });
        using var host = _builder.Build();
        await host.StartAsync().SoonAsync();
        var producer = host.Services.GetRequiredService<IProducer<Ignore, string>>();
        foreach (var value in (string[])["no such customer", "at the third attempt", "good"])
            await producer.SendAsync(new("orders", default, value)).SoonAsync();
        await Wait.UntilAsync(() => _journal.Lines.Count == 5, "the attempts");
        await host.StopAsync().SoonAsync();
        Assert.Equal(["no such customer 1", "at the third attempt 1", "at the third attempt 2", "at the third attempt 3", "good 1"],
            _journal.Lines);

        await using var reader = _broker.Client.CreatePartitionReader<Ignore, string>();
        reader.Assign(new TopicPartition("orders.dead-letter", 0), ReadFrom.Earliest);
        var letter = await reader.ReadAsync().SoonAsync();
        Assert.Equal("no such customer", letter.Value);
        var headers = letter.Headers.ToDictionary(RecordHeaders.Name, RecordHeaders.TextValue);
        Assert.Equal(("unknown", "1", "billing"), (headers[DeadLetterHeaders.Reason], headers[DeadLetterHeaders.Attempts],
            headers[DeadLetterHeaders.Group]));
        Assert.False(headers.ContainsKey(DeadLetterHeaders.ExceptionType));
        Assert.Equal(1, await _broker.Client.Admin.FindOffsetAsync(letter.TopicPartition, ReadFrom.Latest));
        var committed = await _broker.Client.Admin.Groups.GetLagAsync("billing");
        Assert.Equal((3L, 0L), (committed[0].Committed, committed[0].Records));
    }

    [Fact]
    public async Task Handler_is_tested_with_a_context_of_its_own()
    {
        var message = new MessageContext<Ignore, string>(
            new ConsumeResult<Ignore, string>(new("orders", 0), 7, 0, default, "no such customer", [], 0), attempt: 2);
        await Assert.ThrowsAsync<InvalidOperationException>(() =>
            new Careful(_journal).HandleAsync(message, CancellationToken.None).AsTask());
        Assert.Equal(("unknown", "no such customer 2"), (message.DeadLetterReason, Assert.Single(_journal.Lines)));
    }

    [Fact]
    public async Task Health_is_that_of_broker_and_handlers()
    {
        _builder.Services.AddOrleansMqClient().UseBroker(_broker.Broker).AddTopic("orders").AddMessageHandler<string, Careful>(s_billing,
            new() { Topics = ["orders"], OnFailure = FailureAction.StopPartition, Retry = new() { MaxAttempts = 1 } });
        _builder.Services.AddHealthChecks().AddOrleansMq();
        using var host = _builder.Build();
        await host.StartAsync().SoonAsync();
        var health = host.Services.GetRequiredService<HealthCheckService>();
        Assert.Equal(HealthStatus.Healthy, (await health.CheckHealthAsync().SoonAsync()).Status);

        await using (var producer = _broker.Client.CreateProducer<Ignore, string>())
            await producer.SendAsync(new("orders", default, "at the third attempt")).SoonAsync();
        var handler = host.Services.GetServices<IHostedMessageHandler>().Single();
        await Wait.UntilAsync(() => handler.Stopped.Count == 1, "the stop");
        var report = await health.CheckHealthAsync().SoonAsync();
        Assert.Equal(HealthStatus.Degraded, report.Status);
        Assert.Contains("Careful has stopped orders-0", report.Entries["orleansmq"].Description, StringComparison.Ordinal);
        await host.StopAsync().SoonAsync();
    }

    [Fact]
    public async Task Health_without_a_broker_is_unhealthy()
    {
        _builder.Services.AddOrleansMqClient().UseHttp(new Uri("http://127.0.0.1:1"));
        _builder.Services.AddHealthChecks().AddOrleansMq();
        using var host = _builder.Build();
        var report = await host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync().SoonAsync();
        Assert.Equal(HealthStatus.Unhealthy, report.Status);
        Assert.Contains("127.0.0.1:1", report.Entries["orleansmq"].Description, StringComparison.Ordinal);
    }

    internal sealed class Journal
    {
        public ConcurrentQueue<string> Lines { get; } = new();
    }

    /// <summary>Sends when the host stops.</summary>
    internal sealed class LastWords(IProducer<Ignore, string> producer) : IHostedService
    {
        public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) =>
            producer.EnqueueAsync(new("orders", default, "good night"), cancellationToken: cancellationToken).AsTask();
    }

    internal sealed class Careful(Journal journal) : IMessageContextHandler<string>
    {
        public async ValueTask HandleAsync(MessageContext<Ignore, string> message, CancellationToken cancellationToken)
        {
            journal.Lines.Enqueue($"{message.Value} {message.Attempt}");
            if (message.Value == "no such customer")
            {
                await message.DeadLetterAsync("unknown", cancellationToken);
                throw new InvalidOperationException("of no consequence");
            }
            if (message is { Value: "at the third attempt", Attempt: < 3 })
                throw new TimeoutException("not yet");
        }
    }
}
