using Microsoft.Extensions.DependencyInjection;
using Orleans.TestingHost;
using OrleansMq.Api;
using OrleansMq.Grains.Hosting;

namespace OrleansMq.Tests.Cluster.Hosting;

/// <summary>A broker without a cluster of brokers, in an Orleans cluster of several silos.</summary>
public sealed class SoleBrokerTests : IAsyncLifetime
{
    private readonly TempDirectory _data = new();
    private InProcessTestCluster? _cluster;
    private bool _areBrokers = true;

    public async Task InitializeAsync()
    {
        var builder = new InProcessTestClusterBuilder(1);
        builder.ConfigureSilo((silo, host) =>
        {
            if (_areBrokers)
                host.AddOrleansMq(options => options with { DataDirectory = Path.Combine(_data.Path, silo.SiloName), MinFreeBytes = 0 });
            else
                host.AddOrleansMqClient();
        });
        _cluster = builder.Build();
        await _cluster.DeployAsync();
    }

    public async Task DisposeAsync()
    {
        await _cluster!.StopAllSilosAsync();
        await _cluster.DisposeAsync();
        _data.Dispose();
    }

    [Fact]
    public async Task Second_one_is_refused_and_the_first_goes_on()
    {
        var refused = await Assert.ThrowsAnyAsync<Exception>(() => _cluster!.StartAdditionalSiloAsync());
        var reason = Assert.IsType<SecondBrokerException>(refused.GetBaseException());
        Assert.Contains("new BrokerClusterOptions { PostgreSql = ... }", reason.Message, StringComparison.Ordinal);
        Assert.Contains("AddOrleansMqClient() on the others", reason.Message, StringComparison.Ordinal);
        Assert.Contains($"'{_cluster!.Silos[0].Name}'", reason.Message, StringComparison.Ordinal);
        var broker = _cluster.GetSiloServiceProvider(_cluster.Silos[0].SiloAddress).GetRequiredService<IBroker>();
        await broker.CreateTopicAsync(new NewTopic("orders", 1));
        Assert.Single(await broker.ListTopicsAsync());
    }

    [Fact]
    public async Task Silo_without_a_broker_joins_and_uses_the_only_one()
    {
        _areBrokers = false;
        var silo = await _cluster!.StartAdditionalSiloAsync();
        var broker = _cluster.GetSiloServiceProvider(silo.SiloAddress).GetRequiredService<IBroker>();
        await broker.CreateTopicAsync(new NewTopic("orders", 1));
        var first = _cluster.GetSiloServiceProvider(_cluster.Silos[0].SiloAddress).GetRequiredService<IBroker>();
        Assert.Equal("orders", Assert.Single(await first.ListTopicsAsync()).Name);
    }
}
