using OrleansMq.State;
using OrleansMq.Tests.Engine.Partitions;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Engine.VirtualHosts;

/// <summary>Queues that brokers want to end since they were not used.</summary>
public sealed class QueueUsesTests
{
    private static readonly TimeSpan Idle = TimeSpan.FromMinutes(1);

    [Fact]
    public async Task Queue_ends_when_the_owner_has_not_heard_of_it_for_that_time()
    {
        var clock = new ManualClock();
        var store = new MemoryStateStore();
        await using var hosts = await OpenAsync(store, clock);
        var queue = (await hosts.SendAsync(Host, VirtualHostOwnerTests.Declare("q"))).Queue!;
        clock.Advance(Idle - TimeSpan.FromSeconds(1));
        Assert.False(await EndAsync(hosts, queue));

        // Any use begins the time anew.
        await hosts.SendAsync(Host, new UseQueue("q", queue.Id));
        clock.Advance(Idle - TimeSpan.FromSeconds(1));
        Assert.False(await EndAsync(hosts, queue));
        await hosts.SendAsync(Host, new UseQueue("q", queue.Id + 1));
        clock.Advance(TimeSpan.FromSeconds(1));
        Assert.True(await EndAsync(hosts, queue));
        Assert.Null(hosts.Find(Host)!.Topology.FindQueue("q"));
    }

    [Fact]
    public async Task Queue_with_a_consumer_stays_and_its_last_consumer_begins_the_time()
    {
        var clock = new ManualClock();
        await using var hosts = await OpenAsync(new MemoryStateStore(), clock);
        var queue = (await hosts.SendAsync(Host, VirtualHostOwnerTests.Declare("q"))).Queue!;
        await hosts.SendAsync(Host,
            new AddConsumer(new QueueConsumer { Queue = "q", QueueId = queue.Id, Id = "1", Connection = "c" }));
        clock.Advance(Idle * 2);
        Assert.False(await EndAsync(hosts, queue));
        await hosts.SendAsync(Host, new RemoveConsumer("q", queue.Id, "1"));
        Assert.False(await EndAsync(hosts, queue));
        clock.Advance(Idle);
        Assert.True(await EndAsync(hosts, queue));
    }

    [Fact]
    public async Task New_owner_counts_every_queue_as_used()
    {
        var clock = new ManualClock();
        var store = new MemoryStateStore();
        QueueState queue;
        await using (var first = await OpenAsync(store, clock))
            queue = (await first.SendAsync(Host, VirtualHostOwnerTests.Declare("q"))).Queue!;
        clock.Advance(Idle * 2);
        await using var second = await OpenAsync(store, clock);
        Assert.False(await EndAsync(second, queue));
        clock.Advance(Idle);
        Assert.True(await EndAsync(second, queue));
    }

    private const string Host = VirtualHostCatalogue.DefaultHost;

    private static Task<VirtualHostOwners> OpenAsync(IStateStore store, TimeProvider clock) => VirtualHostOwners.OpenAsync(store,
        new VirtualHostOwnerOptions { Time = clock }, static _ => Task.FromResult(VirtualHostsImage.Empty));

    private static async Task<bool> EndAsync(VirtualHostOwners hosts, QueueState queue) =>
        (await hosts.SendAsync(Host, new EndQueue("q", queue.Id, Idle))).IsChanged;
}
