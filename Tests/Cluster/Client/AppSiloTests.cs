using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Grains.Groups;
using OrleansMq.Tests.Client;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Client;

/// <summary>A silo of an application, without the classes of a broker, beside the only silo that is one.</summary>
public sealed class AppSiloTests : IDisposable
{
    private readonly TempDirectory _data = new();
    private readonly RecordedLog _log = new();
    private readonly int _appPort = FreePort.Choose();
    private readonly int _appGateway = FreePort.Choose();

    public void Dispose() => _data.Dispose();

    [Fact]
    public async Task Silo_of_an_application_starts_before_the_only_broker_and_outlasts_its_restart()
    {
        using var app = App();
        var starting = app.StartAsync();
        await Wait.UntilAsync(() => _log.At(LogLevel.Warning).Any(static line =>
            line.Contains("No silo of the cluster is a broker now", StringComparison.Ordinal)), "the start waits for a broker");
        Assert.False(starting.IsCompleted);
        using var first = await StartBrokerAsync();
        await starting.WaitAsync(Wait.Deadline);
        var client = app.Services.GetRequiredService<OrleansMqClient>();
        var broker = client.Broker;
        Assert.Equal(1, (await broker.GetTopicAsync("orders")).Partitions);
        await UseAsync(client, "orders", "shop-1");
        // A client may be connected with this silo.
        using (var outside = await StartClientAsync())
        {
            await UseAsync(outside.Services.GetRequiredService<OrleansMqClient>(), "orders", "shop-2");
            await outside.StopAsync();
        }

        await first.StopAsync();
        // Until it has heard that the silo has left, its calls find no answer.
        await Wait.UntilAsync(async () =>
        {
            try
            {
                await broker.DescribeTopicAsync("orders");
                return false;
            }
            catch (BrokerException away)
            {
                return away.Code == ErrorCode.LeaderNotAvailable;
            }
        }, "the silo of the application knows that there is no broker");
        await AssertRetriableAsync(ErrorCode.LeaderNotAvailable, async () => await broker.DescribeTopicAsync("orders"));
        await AssertRetriableAsync(ErrorCode.LeaderNotAvailable, async () => await broker.GetTopicAsync("payments"));
        await AssertRetriableAsync(ErrorCode.LeaderNotAvailable, async () => await broker.InitProducerIdAsync());
        await AssertRetriableAsync(ErrorCode.CoordinatorNotAvailable, async () => await broker.Groups.ListGroupsAsync());
        await AssertRetriableAsync(ErrorCode.CoordinatorNotAvailable, async () => await broker.Transactions.ListTransactionsAsync());
        await AssertRetriableAsync(ErrorCode.CoordinatorNotAvailable, async () =>
            await broker.Transactions.FindCoordinatorAsync("payments"));
        Assert.Equal(ErrorCode.CoordinatorNotAvailable, (await broker.Groups.SendAsync(new Heartbeat("billing", 1, "member"))).Error);

        using var second = await StartBrokerAsync();
        await Wait.UntilAsync(IsThereAsync, "the silo of the application sees the broker");
        await UseAsync(client, "orders", "shop-3");
        await app.StopAsync();
        await second.StopAsync();

        async Task<bool> IsThereAsync()
        {
            try
            {
                return (await broker.DescribeTopicAsync("orders")).Partitions.Count == 1;
            }
            catch (BrokerException waiting) when (waiting.Action == ErrorAction.Retry)
            {
                return false;
            }
        }

        static async Task AssertRetriableAsync(ErrorCode code, Func<Task> call) =>
            Assert.Equal(code, (await Assert.ThrowsAsync<BrokerException>(call)).Code);
    }

    /// <summary>Produces, in a transaction, too, consumes in a group, and commits.</summary>
    internal static async Task UseAsync(OrleansMqClient client, string topic, string name)
    {
        await using var producer = client.CreateProducer<string, string>();
        await Task.WhenAll(Enumerable.Range(0, 20).Select(number =>
            producer.SendAsync(new(topic, $"{number % 5}", $"{name}-{number}")).AsTask())).WaitAsync(Wait.Deadline);
        await using (var transactional = client.CreateTransactionalProducer<string, string>(name))
        {
            await using var transaction = await transactional.BeginTransactionAsync();
            await transaction.SendAsync(new(topic, "t", $"{name}-20"));
            await transaction.CommitAsync();
        }
        await using var consumer = client.CreateConsumer<string, string>(new ConsumerOptions
        {
            GroupId = name,
            AutoOffsetReset = AutoOffsetReset.Earliest,
        });
        consumer.Subscribe(topic);
        // A consumer that joins its group again before it has committed reads from the beginning again.
        var read = new Dictionary<string, (int Partition, long Offset)>();
        while (read.Count < 21)
        {
            using var deadline = new CancellationTokenSource(Wait.Deadline);
            var record = await consumer.ReadAsync(deadline.Token);
            if (!record.Value.StartsWith($"{name}-", StringComparison.Ordinal))
                continue;
            var place = (record.TopicPartition.Partition, record.Offset);
            if (!read.TryAdd(record.Value, place))
                Assert.Equal(read[record.Value], place);
        }
        await consumer.CommitAsync();
    }

    private async Task<IHost> StartClientAsync()
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.UseOrleansClient(client => client.UseLocalhostClustering(_appGateway).AddOrleansMqClient());
        var host = builder.Build();
        await host.StartAsync();
        return host;
    }

    private IHost App()
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders().AddProvider(_log);
        builder.UseOrleans(silo =>
        {
            silo.UseLocalhostClustering(_appPort, _appGateway).AddOrleansMqClient().AddTopic("orders", 1);
            // As in a process that does not reference the broker.
            silo.Services.PostConfigure<GrainTypeOptions>(static types =>
                types.Classes.RemoveWhere(static type => type.Assembly == typeof(GroupGrain).Assembly));
        });
        return builder.Build();
    }

    private async Task<IHost> StartBrokerAsync()
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.UseOrleans(silo => silo
            .UseLocalhostClustering(FreePort.Choose(), FreePort.Choose(), new IPEndPoint(IPAddress.Loopback, _appPort))
            .AddOrleansMq(options => options with { DataDirectory = _data.Path, MinFreeBytes = 0 }));
        var host = builder.Build();
        await host.StartAsync();
        return host;
    }
}
