using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;
using OrleansMq.Grains.Coordination;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Storage;
using OrleansMq.Tests.PostgreSql.Server;

namespace OrleansMq.Tests.Cluster.Coordination;

/// <summary>The rehearsal of brokers that start.</summary>
public sealed class CoordinatorRehearsalTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private protected override BrokerClusterOptions Configure(int broker, BrokerClusterOptions options) =>
        options with { Rehearses = true };

    [SkippableFact]
    public async Task Rehearsal_of_each_broker_shows_no_client_an_id_or_a_group()
    {
        foreach (var broker in Cluster.Running)
            await Wait.UntilAsync(() => HasRehearsedAsync(broker), $"the rehearsal of broker {broker}");
        foreach (var broker in Cluster.Running.Select(Cluster.Broker))
        {
            Assert.Empty(await broker.Transactions.ListTransactionsAsync());
            Assert.Empty(await broker.Groups.ListGroupsAsync());
        }
    }

    private async Task<bool> HasRehearsedAsync(int broker)
    {
        var store = new GrainStateStore(
            Cluster.Get<IServiceProvider>(broker).GetRequiredKeyedService<IGrainStorage>(FileGrainStorage.ProviderName),
            GrainType.Create(CoordinatorRehearsal.DocumentOwner), TimeProvider.System);
        return await store.ReadAsync($"transaction/broker-{broker}") is not null;
    }
}
