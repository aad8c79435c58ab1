using OrleansMq.Grains.Coordination;
using OrleansMq.Grains.VirtualHosts;
using OrleansMq.Tests.PostgreSql.Server;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Cluster.Hosting;

/// <summary>The virtual hosts of AMQP on three brokers that share one owner.</summary>
public sealed class VirtualHostsTests(PostgreSqlFixture postgres) : ReplicatedClusterTests(postgres)
{
    private const string Host = VirtualHostCatalogue.DefaultHost;

    [SkippableFact]
    public async Task Answer_is_given_when_every_broker_has_the_image()
    {
        var hosts = await OpenAllAsync();
        foreach (var broker in hosts)
            Assert.Equal([UserState.Guest], broker.Users.ByName.Keys);
        Assert.Single(Cluster.Running, Owns);
        for (var i = 0; i < 60; i++)
        {
            var answer = await hosts[i % 3].SendAsync(Host, Declare($"q{i}", isDurable: i % 2 == 0));
            await hosts[(i + 1) % 3].SendAsync(Host,
                new Bind(new BindingRequest("amq.topic", DestinationKind.Queue, $"q{i}", "key"), null));
            foreach (var broker in hosts)
            {
                Assert.Equal(answer.Queue!.Id, broker.Find(Host)!.Topology.FindQueue($"q{i}")?.Id);
                Assert.Equal(i + 1, broker.Find(Host)!.Topology.Bindings.Count());
            }
        }
        await hosts[1].AdministerAsync(new PutVirtualHost("/second/", UserState.Guest));
        await hosts[2].SendAsync("/second/", Declare("orders"));
        Assert.NotNull(hosts[0].Find("/second/")!.Topology.FindQueue("orders"));
        await hosts[2].AdministerAsync(new DeleteVirtualHost("/second/"));
        Assert.All(hosts, static broker => Assert.Equal([Host], broker.Names.ToArray()));
    }

    [SkippableFact]
    public async Task Virtual_hosts_survive_their_owner_killed_and_stopped()
    {
        await OpenAllAsync();
        var declared = new Dictionary<string, long>();
        for (var round = 0; round < 3; round++)
        {
            var owner = Cluster.Running.Single(Owns);
            var other = Cluster.Running.First(broker => broker != owner);
            var hosts = await OpenAsync(other);
            foreach (var isDurable in new[] { true, false })
            {
                var name = $"q{round}-{isDurable}";
                declared[name] = (await hosts.SendAsync(Host, Declare(name, isDurable))).Queue!.Id;
            }
            await hosts.AdministerAsync(new PutUser($"user{round}", "", PasswordHash.Sha256, ["management"]));

            if (round % 2 == 0)
                await Cluster.KillAsync(owner);
            else
                await Cluster.StopAsync(owner);
            // What a client of a broker that is left asks for is carried out.
            declared[$"after{round}"] = (await AnsweredAsync(() => hosts.SendAsync(Host, Declare($"after{round}")))).Queue!.Id;
            await Cluster.StartAsync(owner);
            await Cluster.SettleAsync();
            foreach (var broker in Cluster.Running)
            {
                var image = (await (await OpenAsync(broker)).RefreshAsync(Host))!;
                Assert.Equal(declared.OrderBy(static queue => queue.Key, StringComparer.Ordinal),
                    image.Topology.Queues.Select(static queue => KeyValuePair.Create(queue.Name, queue.Id))
                        .OrderBy(static queue => queue.Key, StringComparer.Ordinal));
                Assert.Equal(round + 2, (await OpenAsync(broker)).Users.ByName.Count);
            }
        }
    }

    [SkippableFact]
    public async Task Brokers_that_wait_learn_of_a_new_owner_without_asking_for_anything()
    {
        await OpenAllAsync();
        var owner = Cluster.Running.Single(Owns);
        await Cluster.KillAsync(owner);
        await Wait.UntilAsync(() => Cluster.Running.Count(Owns) == 1, "another broker owns the virtual hosts");
        Assert.DoesNotContain(owner, Cluster.Running);
    }

    [SkippableFact]
    public async Task Refusals_and_faults_reach_the_broker_that_asked()
    {
        var hosts = (await OpenAllAsync())[2];
        await hosts.SendAsync(Host, Declare("orders"));
        var refused = await Assert.ThrowsAsync<AmqpRefusedException>(async () => await hosts.SendAsync(Host,
            new DeclareQueue(new QueueDeclaration { Name = "orders", AutoDelete = true }, "c")));
        Assert.Equal(AmqpCode.PreconditionFailed, refused.Refusal.Code);
        Assert.Equal(AmqpCode.NotAllowed, (await Assert.ThrowsAsync<AmqpRefusedException>(async () =>
            await hosts.SendAsync("none", Declare("q")))).Refusal.Code);
        Assert.Contains("name", (await Assert.ThrowsAnyAsync<FormatException>(async () =>
            await hosts.AdministerAsync(new PutUser("", "", PasswordHash.Sha256, [])))).Message, StringComparison.Ordinal);
    }

    private static DeclareQueue Declare(string name, bool isDurable = true) =>
        new(new QueueDeclaration { Name = name, Durable = isDurable }, "c1");

    // A failover may take longer than a broker's patience.
    private static async Task<VirtualHostAnswer> AnsweredAsync(Func<ValueTask<VirtualHostAnswer>> send)
    {
        VirtualHostAnswer? answer = null;
        await Wait.UntilAsync(async () =>
        {
            try
            {
                answer = await send();
                return true;
            }
            catch (BrokerException)
            {
                return false;
            }
        }, "the owner answers");
        return answer!;
    }

    private ValueTask<IVirtualHosts> OpenAsync(int broker) => Cluster.Get<VirtualHostsFollower>(broker).OpenAsync();

    private async Task<IVirtualHosts[]> OpenAllAsync() => await Task.WhenAll(Cluster.Running.Select(broker => OpenAsync(broker).AsTask()));

    private bool Owns(int broker) => Cluster.Get<ActiveCoordinators>(broker).IdsOf(VirtualHostsGrain.TypeName).Count > 0;
}
