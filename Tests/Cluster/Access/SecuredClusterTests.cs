using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.Client;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Coordination;
using OrleansMq.Grains.Partitions;
using OrleansMq.Grains.Replication;
using OrleansMq.Tests.Cluster.Catalogue;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Cluster.Access;

/// <summary>Three brokers with access control: what they do for each other carries their tickets.</summary>
public sealed class SecuredClusterTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private const int Partitions = 3;
    private static readonly TopicPartition Orders = new(SecuredUsers.Topic, 0);

    private protected override BrokerOptions ConfigureBroker(BrokerOptions options) => SecuredUsers.Enforce(options);

    [SkippableFact]
    public async Task Brokers_forward_move_leaders_end_transactions_and_serve_queues_of_each_other()
    {
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic(Orders.Topic, Partitions, 3));
        await Cluster.UntilInSyncAsync(Orders.Topic);
        foreach (var broker in Cluster.Running)
        {
            for (var partition = 0; partition < Partitions; partition++)
                Assert.Equal(ErrorCode.None, (await Cluster.AppendAsync(broker, new TopicPartition(Orders.Topic, partition), "a")).Error);
        }

        var producer = await TestTransactions.InitAsync(Cluster.Broker(2), "id");
        var number = await producer.AddAsync(Orders.Topic, 0, 1, 2);
        for (var partition = 0; partition < Partitions; partition++)
            await producer.SendAsync(Orders.Topic, partition, number, 0, "t");
        await producer.EndAsync(isCommit: true);
        for (var partition = 0; partition < Partitions; partition++)
        {
            var place = partition;
            await Wait.UntilAsync(async () => await TestTransactions.ReadAllAsync(Cluster.Broker(3), Orders.Topic, place,
                IsolationLevel.ReadCommitted) is { Count: 4 }, "the transaction is committed");
        }

        foreach (var broker in Cluster.Running)
        {
            var queue = $"q{broker}";
            await Cluster.Broker(broker).Queues.CreateAsync(Orders, new NewQueue(queue));
            Assert.Equal(queue, (await Cluster.Broker(1 + (broker % 3)).Queues.DescribeAsync(Orders, queue)).Name);
        }

        var leader = LeaderOf(0);
        await Cluster.KillAsync(leader);
        var left = Cluster.Running.First();
        await Wait.UntilAsync(async () => (await Cluster.Broker(left).ProduceAsync(Orders, TestBatches.Of("b"), Acks.All)).Error
            == ErrorCode.None, "another broker leads");
        await Cluster.StartAsync(leader);
        await Cluster.SettleAsync();
        await Cluster.UntilInSyncAsync(Orders.Topic);
        var administration = Cluster.Broker(left).Administration;
        await Wait.UntilAsync(async () => (await administration.ElectPreferredLeadersAsync(Orders.Topic)).All(static election =>
            election.Error is ErrorCode.None or ErrorCode.ElectionNotNeeded), "the leaders go back");
        Assert.Equal(ErrorCode.None, (await Cluster.AppendAsync(leader, Orders, "c")).Error);
    }

    [SkippableFact]
    public async Task Client_that_logs_in_reaches_every_broker_and_one_with_code_of_its_own_no_service_between_them()
    {
        await SecuredUsers.CreateAsync(Cluster.Get<IServiceProvider>(1));
        await Cluster.Broker(1).CreateTopicAsync(new NewTopic(Orders.Topic, Partitions, 3));
        await Cluster.UntilInSyncAsync(Orders.Topic);
        using var alice = await ConnectAsync(static client => client.UseLogin(
            new OrleansLogin { User = "alice", Password = SecuredUsers.Password }));
        var broker = alice.Services.GetRequiredService<IBroker>();
        for (var partition = 0; partition < Partitions; partition++)
            Assert.Equal(ErrorCode.None,
                (await broker.ProduceAsync(new TopicPartition(Orders.Topic, partition), TestBatches.Of("a"), Acks.All)).Error);

        using var stranger = await ConnectAsync(static _ => { });
        Assert.Equal(ErrorCode.TopicAuthorizationFailed, (await new GrainBroker(Grains(stranger))
            .ProduceAsync(Orders, TestBatches.Of("a"), Acks.All)).Error);
        var to = Cluster.Get<ILocalSiloDetails>(2).SiloAddress;
        var replicas = Cluster.Get<ReplicaServices>(1).Of(2).GetGrainId();
        var leaders = Cluster.Get<LeaderServiceClient>(1).Of(to).GetGrainId();
        var coordinators = Cluster.Get<CoordinatorServiceClient>(1).Of(to).GetGrainId();
        foreach (var grains in new[] { Grains(stranger), Grains(alice) })
        {
            await RefusesAllAsync(grains.GetGrain<IReplicaService>(replicas));
            await RefusesAllAsync(grains.GetGrain<ILeaderService>(leaders));
            await RefusesAllAsync(grains.GetGrain<ICoordinatorService>(coordinators));
        }
        await alice.StopAsync();
        await stranger.StopAsync();
    }

    private static async Task RefusesAllAsync<T>(T service) where T : IAddressable
    {
        foreach (var method in typeof(T).GetMethods())
        {
            var arguments = method.GetParameters().Select(static parameter => parameter.ParameterType == typeof(GrainId)
                ? GrainId.Create("omq.group", "g")
                : parameter.ParameterType.IsValueType ? Activator.CreateInstance(parameter.ParameterType) : null).ToArray();
            var refused = await Assert.ThrowsAsync<BrokerException>(() => (Task)method.Invoke(service, arguments)!);
            Assert.True(refused.Code == ErrorCode.ClusterAuthorizationFailed, $"{method.Name}: {refused.Code}: {refused.Message}");
        }
    }

    private static IClusterClient Grains(IHost host) => host.Services.GetRequiredService<IClusterClient>();

    private int LeaderOf(int partition) => Cluster.ImageOf(1).FindServed(Orders.Topic)!.Partitions[partition].Leader;

    private async Task<IHost> ConnectAsync(Action<OrleansMqClientBuilder> configure)
    {
        var gateways = Cluster.Running.Select(broker => Cluster.Get<ILocalSiloDetails>(broker).GatewayAddress.Endpoint).ToArray();
        var identity = Cluster.Get<IOptions<ClusterOptions>>(1).Value;
        var builder = Host.CreateApplicationBuilder();
        builder.Logging.ClearProviders();
        builder.UseOrleansClient(client => configure(client.UseStaticClustering(gateways)
            .Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = (identity.ClusterId, identity.ServiceId))
            .AddOrleansMqClient()));
        var host = builder.Build();
        await host.StartAsync();
        return host;
    }
}
