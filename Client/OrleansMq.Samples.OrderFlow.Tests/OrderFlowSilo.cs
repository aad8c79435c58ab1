using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Runtime.Hosting;
using Orleans.Storage;
using Orleans.TestingHost;

namespace OrleansMq.Samples.OrderFlow.Tests;

/// <summary>The grains in a silo of the test process, over a broker in a directory of its own. Tests hold accounts back, and make writes of
/// grain state fail.</summary>
internal sealed class OrderFlowSilo : IAsyncDisposable
{
    private readonly string _data = Directory.CreateTempSubdirectory("order-flow-").FullName;
    private readonly ConcurrentDictionary<string, TaskCompletionSource> _held = [];
    private readonly InProcessTestCluster _cluster;

    private OrderFlowSilo()
    {
        var builder = new InProcessTestClusterBuilder(1);
        builder.ConfigureSilo((_, silo) =>
        {
            silo.AddMemoryGrainStorage("memory");
            silo.Services.AddGrainStorage("Default", (services, _) =>
                new FlakyStorage(services.GetRequiredKeyedService<IGrainStorage>("memory"), Faults));
            silo.AddOrleansMq(options => options with { DataDirectory = _data }).AddOrleansMqClient().AddOrderTopics();
            silo.AddOrderFlow(static options => options with { WakeUpDelay = TimeSpan.FromSeconds(1) });
            silo.AddIncomingGrainCallFilter(async call =>
            {
                if (call.TargetContext.GrainInstance is Account && _held.TryGetValue($"{call.TargetContext.GrainId.Key}", out var held))
                    await held.Task;
                await call.Invoke();
            });
        });
        _cluster = builder.Build();
    }

    public StorageFaults Faults { get; } = new();

    public static async Task<OrderFlowSilo> StartAsync()
    {
        var silo = new OrderFlowSilo();
        await silo._cluster.DeployAsync();
        return silo;
    }

    public IOrder Order(string id) => _cluster.Client.GetGrain<IOrder>(id);

    public IAccount Account(string customer) => _cluster.Client.GetGrain<IAccount>(customer);

    public IStatistics Statistics(string customer) => _cluster.Client.GetGrain<IStatistics>(customer);

    /// <summary>Lets the account of a customer answer nothing until the result is disposed of.</summary>
    public IDisposable Hold(string customer)
    {
        var held = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _held[customer] = held;
        return new Released(() =>
        {
            _held.TryRemove(customer, out _);
            held.SetResult();
        });
    }

    public async ValueTask DisposeAsync()
    {
        await _cluster.StopAllSilosAsync();
        await _cluster.DisposeAsync();
        Directory.Delete(_data, recursive: true);
    }

    private sealed class Released(Action release) : IDisposable
    {
        public void Dispose() => release();
    }
}
