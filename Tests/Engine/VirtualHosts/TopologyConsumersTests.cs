using OrleansMq.VirtualHosts;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Engine.VirtualHosts;

/// <summary>The consumers of queues: random decisions compared with a list of consumers, and what one more costs.</summary>
public sealed class TopologyConsumersTests(ITestOutputHelper output)
{
    private const int Connections = 3;
    // The first three are on one shard.
    private static readonly string[] Names = [.. OnOneShard(3), "other", "another"];

    private int _added;
    private int _refused;
    private int _gone;

    [Fact]
    public void Consumers_of_each_queue_are_those_of_a_list()
    {
        var seed = Seeds.Next();
        output.WriteLine(Seeds.Replay(seed));
        var random = new Random(seed);
        for (var round = 0; round < 20; round++)
            Run(random);
        output.WriteLine($"{_added} added, {_refused} refused, {_gone} gone");
        Assert.True(_added > 200 && _refused > 100 && _gone > 100);
    }

    [Fact]
    public void Consumer_is_added_and_removed_without_a_copy_of_the_others()
    {
        const int Count = 20_000;
        var rig = new HostRig();
        foreach (var name in Names)
            rig.Queue(name, durable: false);
        var topology = rig.Topology;
        var (many, few) = (topology.FindQueue(Names[0])!, topology.FindQueue(Names[1])!);
        topology = topology.Apply(new PutConsumer(Of(few, "few")));
        for (var i = 0; i < Count; i++)
            topology = topology.Apply(new PutConsumer(Of(many, $"{i}")));
        // What is allocated once.
        AddAndRemove();
        var before = GC.GetAllocatedBytesForCurrentThread();
        var after = AddAndRemove();
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        output.WriteLine($"{allocated} bytes");
        // Half of an array of them.
        Assert.InRange(allocated, 1, Count * IntPtr.Size / 2);
        Assert.Same(topology.ConsumersOf(few), after.ConsumersOf(few));
        Assert.Equal(Count, after.ConsumersOf(many).Count);
        Assert.Equal(Count + 1, after.Consumers.Count());

        VirtualHostTopology AddAndRemove()
        {
            var added = topology.AddConsumer(Of(many, "next"), isSingleActive: false);
            Assert.Single(added.Edits);
            return added.Next.RemoveConsumer(many.Name, many.Id, "next").Next;
        }
    }

    private void Run(Random random)
    {
        var rig = new HostRig();
        var model = new List<QueueConsumer>();
        for (var step = 0; step < 200; step++)
        {
            var (before, known) = (rig.Topology, model.Count);
            var decision = Any(rig, random, model);
            if (!decision.IsAccepted)
            {
                _refused++;
                continue;
            }
            rig.Do(decision);
            _gone += Math.Max(known - model.Count, 0);
            Check(rig.Topology, model);
            // What brokers make of the changes, of the whole image, and what a new owner takes from it.
            Check(Apply(before, rig.Topology.EditsSince(before)), model);
            Check(Apply(Nothing(), rig.Topology.EditsSince(Nothing())), model);
            Check(Nothing().WithTransient(rig.Topology), model);
            foreach (var queue in before.Queues.Where(queue => queue.AutoDelete && !before.ConsumersOf(queue).IsEmpty))
                Assert.Equal(model.Any(one => one.QueueId == queue.Id), rig.Topology.FindQueue(queue.Name) is not null);
        }
    }

    // Decides on something, and carries it out on the model.
    private TopologyDecision Any(HostRig rig, Random random, List<QueueConsumer> model)
    {
        var topology = rig.Topology;
        var (name, connection) = (Names[random.Next(Names.Length)], $"c{random.Next(Connections)}");
        if (topology.FindQueue(name) is not { } queue)
            return rig.Declare(name, durable: false, exclusive: random.Next(4) == 0, autoDelete: random.Next(2) == 0,
                connection: connection);
        switch (random.Next(20))
        {
            case 0:
                model.RemoveAll(one => one.QueueId == queue.Id);
                return topology.DeleteQueue(name, null);
            case 1:
                model.RemoveAll(one => one.Connection == connection);
                return topology.EndConnection(connection);
            case < 8 when model.Count > 0:
                var gone = model[random.Next(model.Count)];
                // One that is there stays as it is; one of another queue is not removed.
                Assert.True(topology.AddConsumer(gone with { Exclusive = true }, isSingleActive: true)
                    is { IsAccepted: true, Edits.IsEmpty: true });
                Assert.Empty(topology.RemoveConsumer(gone.Queue, gone.QueueId + 1, gone.Id).Edits);
                model.Remove(gone);
                return topology.RemoveConsumer(gone.Queue, gone.QueueId, gone.Id);
            default:
                return Add(topology, Of(queue, $"{rig.NextId()}") with
                {
                    Connection = connection,
                    Exclusive = random.Next(6) == 0,
                }, isSingleActive: random.Next(8) == 0, model);
        }
    }

    private TopologyDecision Add(VirtualHostTopology topology, QueueConsumer consumer, bool isSingleActive, List<QueueConsumer> model)
    {
        var isLocked = topology.FindQueue(consumer.Queue)!.Owner is { } owner && owner != consumer.Connection;
        QueueConsumer[] present = [.. model.Where(one => one.QueueId == consumer.QueueId)];
        var isTaken = present.Any(static one => one.Exclusive) || (consumer.Exclusive && (present.Length > 0 || isSingleActive));
        var expected = isLocked ? AmqpCode.ResourceLocked : isTaken ? AmqpCode.AccessRefused : AmqpCode.None;
        var decision = topology.AddConsumer(consumer, isSingleActive);
        Assert.Equal(expected, decision.Refusal?.Code ?? AmqpCode.None);
        if (decision.IsAccepted)
        {
            model.Add(consumer);
            _added++;
        }
        return decision;
    }

    private static void Check(VirtualHostTopology topology, List<QueueConsumer> model)
    {
        foreach (var queue in topology.Queues)
            Assert.Equal(Sorted(model.Where(one => one.QueueId == queue.Id)), topology.ConsumersOf(queue).Values);
        Assert.Equal(Sorted(model), Sorted(topology.Consumers));
        for (var connection = 0; connection < Connections; connection++)
            Assert.Equal(model.Any(one => one.Connection == $"c{connection}"), topology.HasConsumers($"c{connection}"));
    }

    private static VirtualHostTopology Apply(VirtualHostTopology before, IEnumerable<TopologyEdit> edits) =>
        edits.Aggregate(before, static (made, edit) => made.Apply(edit));

    private static VirtualHostTopology Nothing() => VirtualHostTopology.Create("/");

    private static IEnumerable<QueueConsumer> Sorted(IEnumerable<QueueConsumer> consumers) =>
        consumers.OrderBy(static one => one.Id, StringComparer.Ordinal);

    private static QueueConsumer Of(QueueState queue, string id) => new()
    {
        Queue = queue.Name,
        QueueId = queue.Id,
        Id = id,
        Connection = HostRig.Connection,
    };

    private static IEnumerable<string> OnOneShard(int count) => Enumerable.Range(0, int.MaxValue).Select(static i => $"q{i}")
        .Where(static name => VirtualHostShard.Of(name) == VirtualHostShard.Of("q0")).Take(count);
}
