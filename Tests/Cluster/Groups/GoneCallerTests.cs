using System.Collections.Concurrent;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using OrleansMq.Client;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Coordination;
using OrleansMq.Groups;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Groups;

/// <summary>Members whose process is gone, without having left.</summary>
public sealed class GoneCallerTests : IDisposable
{
    private static readonly ConsumerOptions Options = new() { GroupId = "billing", AutoOffsetReset = AutoOffsetReset.Earliest };

    // A request waits for long, so that it is not at its end when its connection ends. A session lasts longer than any wait of the test:
    // only the end of the connection can end it in time.
    private static readonly GroupOptions Groups = new()
    {
        ConsumerHeartbeatInterval = TimeSpan.FromSeconds(20),
        ConsumerSessionTimeout = 5 * Wait.Deadline,
    };

    private readonly TempDirectory _data = new();

    public void Dispose() => _data.Dispose();

    [Fact]
    public async Task Partitions_of_an_Orleans_client_whose_connection_ends_are_assigned_to_others_within_seconds()
    {
        var (siloPort, gatewayPort) = (FreePort.Choose(), FreePort.Choose());
        using var silo = await StartAsync(builder => builder.UseOrleans(silo => silo.UseLocalhostClustering(siloPort, gatewayPort)
            .AddOrleansMq(options => options with { DataDirectory = _data.Path, Groups = Groups })));
        var gone = await ConnectAsync(gatewayPort);
        using var other = await ConnectAsync(gatewayPort);
        var (goneClient, otherClient) = (ClientOf(gone), ClientOf(other));
        await otherClient.Admin.CreateTopicAsync("orders", 2);
        var dying = goneClient.CreateConsumer<string, string>(Options); // Not closed: its process dies.
        dying.Subscribe("orders");
        await Wait.UntilAsync(() => dying.Assignment.Count == 2, "the first assignment");
        await using var living = otherClient.CreateConsumer<string, string>(Options);
        living.Subscribe("orders");
        await Wait.UntilAsync(() => living.Assignment.Count == 1, "the second assignment");
        // Between two of its requests nothing waits for it, and the session decides.
        var coordinators = silo.Services.GetRequiredService<ActiveCoordinators>();
        await Wait.UntilAsync(() => coordinators.Callers.Count == 2, "the requests of both members");

        await gone.StopAsync();
        gone.Dispose();
        await Wait.UntilAsync(() => living.Assignment.Count == 2, "all partitions");
    }

    [Fact]
    public void Gone_caller_is_a_client_by_its_id_or_a_silo_by_its_address()
    {
        const string Id = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
        GrainId[] callers = [GrainId.Create("sys.client", Id), GrainId.Create("sys.client", "hosted-127.0.0.1:11111@42"),
            GrainId.Create("sys.client", "hosted-127.0.0.1:11111@421"), GrainId.Create("orders", Id), default];
        var preamble = GoneCaller.Client(Encoding.UTF8.GetBytes($"\u0001\u0002sys.client\u0003{Id}\u0004"));
        var probe = GoneCaller.Client("0"u8.ToArray());
        var silo = GoneCaller.Silo("127.0.0.1:11111@42");
        Assert.Equal([true, false, false, false, false], callers.Select(preamble.Is));
        Assert.Equal([false, true, false, false, false], callers.Select(silo.Is));
        Assert.DoesNotContain(callers, probe.Is);
    }

    [Fact]
    public async Task Broker_is_told_of_gone_clients_by_one_call_at_a_time_within_a_bound()
    {
        const string Id = "0a1b2c3d4e5f60718293a4b5c6d7e8f9";
        var calls = new ConcurrentQueue<byte[]>();
        var answers = new ConcurrentQueue<TaskCompletionSource>();
        var notifier = new GoneCallerNotifier(beginnings =>
        {
            var answer = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            answers.Enqueue(answer);
            calls.Enqueue(beginnings);
            return answer.Task;
        });
        Assert.True(notifier.TryAdd([1]));
        Assert.True(notifier.TryAdd(Encoding.UTF8.GetBytes($"sys.client {Id}")));
        const int Beginnings = GoneCallerNotifier.MaxWaitingBytes >> 10;
        // The client's beginning waits, too: the bound has no room for as many.
        Assert.Equal(Beginnings - 1, Enumerable.Range(0, 2 * Beginnings).Count(_ => notifier.TryAdd(new byte[1 << 10])));
        Assert.Equal([1], Assert.Single(calls));
        await AnswerAsync(2);
        Assert.True(GoneCaller.Client(calls.Last()).Is(GrainId.Create("sys.client", Id)));
        // There is room again.
        Assert.True(notifier.TryAdd([2]));
        const int Parts = GoneCallerNotifier.MaxWaitingBytes / GoneCallerNotifier.MaxPartBytes;
        for (var call = 3; call <= 1 + Parts + 1; call++)
        {
            Assert.Equal(call - 1, calls.Count);
            await AnswerAsync(call);
        }
        Assert.All(calls, static call => Assert.InRange(call.Length, 1, GoneCallerNotifier.MaxPartBytes));
        Assert.Equal(1 + "sys.client ".Length + Id.Length + ((Beginnings - 1) << 10) + 1, calls.Sum(static call => call.Length));
        Assert.Equal([2], calls.Last());

        Task AnswerAsync(int next)
        {
            answers.Last().SetResult();
            return Wait.UntilAsync(() => calls.Count == next, $"call {next}");
        }
    }

    private static OrleansMqClient ClientOf(IHost host) => new(new GrainBroker(host.Services.GetRequiredService<IClusterClient>()));

    private static Task<IHost> ConnectAsync(int gatewayPort) => StartAsync(builder =>
        builder.UseOrleansClient(client => client.UseLocalhostClustering(gatewayPort)));

    private static async Task<IHost> StartAsync(Action<HostApplicationBuilder> configure)
    {
        var builder = Host.CreateApplicationBuilder();
        configure(builder);
        var host = builder.Build();
        await host.StartAsync();
        return host;
    }
}
