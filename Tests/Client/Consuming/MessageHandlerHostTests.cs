using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Consuming;

/// <summary>Handlers that a host creates.</summary>
public sealed class MessageHandlerHostTests : ConsumerFixture
{
    private readonly ConcurrentQueue<string> _handled = new();

    private HostApplicationBuilder Builder(MessageHandlingOptions? handling = null)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Services.AddOrleansMqClient().UseBroker(Broker)
            .AddMessageHandler<string, Billing>(Options(), handling ?? new() { Topics = [Topic] });
        return builder;
    }

    [Fact]
    public async Task Handler_with_a_missing_dependency_fails_the_start_of_the_host()
    {
        using var host = Builder().Build();
        var failure = await Assert.ThrowsAnyAsync<InvalidOperationException>(() => host.StartAsync().SoonAsync());
        Assert.Contains(nameof(Billing), failure.Message, StringComparison.Ordinal);
        Assert.Contains(nameof(Ledger), failure.Message, StringComparison.Ordinal);
        Assert.Empty(Groups.Heartbeats);
    }

    [Fact]
    public async Task Handler_that_cannot_be_created_stops_the_partition_and_is_no_dead_letter()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "a");
        var isDown = false;
        var stopped = new TaskCompletionSource<Exception>();
        var builder = Builder(new()
        {
            Topics = [Topic],
            Retry = new() { MaxAttempts = 2, Backoff = TimeSpan.FromMilliseconds(1), MaxBackoff = TimeSpan.FromMilliseconds(1) },
            PartitionStopped = (_, reason) => stopped.TrySetResult(reason),
        });
        // The first one is created at the start.
        builder.Services.AddScoped(_ => Interlocked.Exchange(ref isDown, true)
            ? throw new TimeoutException("no ledger") : new Ledger { Entries = _handled });
        using var host = builder.Build();
        await host.StartAsync().SoonAsync();
        Assert.Contains("no ledger", (await stopped.Task.SoonAsync()).ToString(), StringComparison.Ordinal);
        await host.StopAsync().SoonAsync();
        Assert.Empty(_handled);
        Assert.Equal(0, Groups.Committed(P(0)) ?? 0);
        Assert.Equal([Topic], (await Broker.ListTopicsAsync()).Select(topic => topic.Name));
    }

    [Fact]
    public async Task Handler_whose_creation_fails_once_is_created_again()
    {
        Groups.FirstAssignment = [All(0)];
        await SendAsync(0, "a");
        var created = 0;
        var builder = Builder();
        builder.Services.AddScoped(_ => Interlocked.Increment(ref created) == 2
            ? throw new TimeoutException("no ledger") : new Ledger { Entries = _handled });
        using var host = builder.Build();
        await host.StartAsync().SoonAsync();
        await Wait.UntilAsync(() => !_handled.IsEmpty, "the record");
        await host.StopAsync().SoonAsync();
        Assert.Equal(["a"], _handled);
        Assert.Equal(1, Groups.Committed(P(0)));
    }

    [Fact]
    public async Task Handler_whose_consumer_has_failed_is_unhealthy()
    {
        Groups.OnHeartbeat = _ => ErrorCode.GroupAuthorizationFailed;
        var builder = Builder();
        builder.Services.AddScoped<Ledger>();
        builder.Services.AddHealthChecks().AddOrleansMq();
        builder.Services.Configure<HostOptions>(options => options.BackgroundServiceExceptionBehavior =
            BackgroundServiceExceptionBehavior.Ignore);
        using var host = builder.Build();
        await host.StartAsync().SoonAsync();
        var service = host.Services.GetServices<IHostedService>().OfType<BackgroundService>().Single();
        await Wait.UntilAsync(() => service.ExecuteTask is { IsFaulted: true }, "the failure");
        var report = await host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync().SoonAsync();
        Assert.Equal(HealthStatus.Unhealthy, report.Status);
        Assert.Contains("Billing has failed", report.Entries["orleansmq"].Description, StringComparison.Ordinal);
        await host.StopAsync().SoonAsync();
    }

    internal sealed class Ledger
    {
        public ConcurrentQueue<string> Entries { get; init; } = new();
    }

    internal sealed class Billing(Ledger ledger) : IMessageHandler<string>
    {
        public ValueTask HandleAsync(ConsumeResult<Ignore, string> record, CancellationToken cancellationToken)
        {
            ledger.Entries.Enqueue(record.Value);
            return default;
        }
    }
}
