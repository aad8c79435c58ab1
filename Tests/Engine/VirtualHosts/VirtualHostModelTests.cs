using OrleansMq.Diagnostics;
using OrleansMq.VirtualHosts;
using Xunit.Abstractions;

namespace OrleansMq.Tests.Engine.VirtualHosts;

/// <summary>Random commands, many at once, on a store whose writes fail, are unclear, or arrive late, with owners that crash, are replaced
/// while they live, and are opened again.</summary>
public sealed class VirtualHostModelTests(ITestOutputHelper output)
{
    private const int Names = 6;

    [Fact]
    public async Task Answered_commands_are_there_after_any_failure_and_the_image_is_what_is_stored()
    {
        var seed = Seeds.Next();
        output.WriteLine(Seeds.Replay(seed));
        var random = new Random(seed);
        for (var round = 0; round < 60; round++)
            await RunAsync(random, isShared: round % 2 == 0);
        output.WriteLine($"{_answered} answered, {_unknown} unknown, {_refused} refused, {_crashes} crashes, {_late} late writes stored");
        Assert.True(_answered > 1000 && _unknown > 50 && _crashes > 20);
    }

    private int _answered;
    private int _unknown;
    private int _refused;
    private int _crashes;
    private int _late;

    private async Task RunAsync(Random random, bool isShared)
    {
        var store = new MemoryStateStore();
        await (await VirtualHostOwners.OpenAsync(store, EngineLog.Silent)).DisposeAsync();
        var owner = await OpenAsync(store, isShared, null);
        // What is known of each durable queue: the id that it must have (0: it must not exist); missing: unknown, or auto-deleted.
        var known = new Dictionary<string, long>();
        for (var step = 0; step < 40; step++)
        {
            // The fates are drawn in one order whichever thread writes.
            var faults = new Queue<WriteFate>(Enumerable.Range(0, 64).Select(_ => random.Next(12) switch
            {
                0 => WriteFate.Fails,
                1 => WriteFate.Unclear,
                2 => WriteFate.Late,
                _ => WriteFate.Stored,
            }));
            var isFaulty = random.Next(3) == 0;
            store.Fate = _ => isFaulty && faults.TryDequeue(out var fate) ? fate : WriteFate.Stored;
            var at = owner.Image.Topology;
            var sent = Enumerable.Range(0, random.Next(1, 8)).Select(_ => Any(random, at)).Select(command => (Command: command,
                Answer: owner.SendAsync(command))).ToList();
            foreach (var (command, answer) in sent)
                await RecordAsync(command, answer, known);
            store.Fate = _ => WriteFate.Stored;
            switch (random.Next(8))
            {
                case 0:
                    _late += store.ArriveLate();
                    break;
                case 1: // The process dies; a write that was on its way may arrive, before the next owner claims.
                    _crashes++;
                    _late += store.ArriveLate();
                    store = store.Copy();
                    owner = await OpenAsync(store, isShared, null);
                    break;
                case 2 when isShared: // Another owner claims while this one lives. Its writes that are late come afterwards.
                    var before = owner;
                    owner = await OpenAsync(store, isShared, before.Image.Topology);
                    await Assert.ThrowsAsync<BrokerException>(() => before.SendAsync(Any(random, before.Image.Topology)));
                    _late += store.ArriveLate();
                    break;
                default:
                    break;
            }
            await CheckAsync(store, owner, known, isShared);
        }
    }

    private async Task RecordAsync(VirtualHostCommand command, Task<VirtualHostAnswer> answering, Dictionary<string, long> known)
    {
        var name = command switch
        {
            DeclareQueue declare => declare.Queue.Name,
            DeleteQueue delete => delete.Name,
            _ => null,
        };
        try
        {
            var answer = await answering;
            _answered++;
            if (name is not null)
                known[name] = command is DeclareQueue && answer.Queue!.Durable ? answer.Queue.Id : 0;
        }
        catch (AmqpRefusedException)
        {
            _refused++;
        }
        catch (BrokerException)
        {
            _unknown++;
            if (name is not null)
                known.Remove(name);
        }
    }

    private static async Task CheckAsync(MemoryStateStore store, VirtualHostOwner owner, Dictionary<string, long> known, bool isShared)
    {
        var image = await owner.RefreshAsync();
        // All that may wait is written once the owner is at rest; what a crash would leave meanwhile is repaired by the next one.
        var copy = store.Copy();
        await using var next = await OpenAsync(copy, isShared, image.Topology);
        foreach (var (name, id) in known)
        {
            Assert.True((image.Topology.FindQueue(name) is { Durable: true } queue ? queue.Id : 0) == id, $"{name} in the image");
            Assert.True((next.Image.Topology.FindQueue(name) is { Durable: true } stored ? stored.Id : 0) == id, $"{name} in the store");
        }
        Assert.Equal(HostRig.Durable(image.Topology), HostRig.Durable(next.Image.Topology));
        Assert.Equal(ConsumersOf(image.Topology), ConsumersOf(next.Image.Topology));
        foreach (var exchange in new[] { "x0", "x1", "amq.topic" })
        {
            foreach (var key in new[] { "k0", "k1" })
                Assert.Equal(VirtualHostOwnerTests.Route(next.Image, exchange, key), VirtualHostOwnerTests.Route(image, exchange, key));
        }
    }

    // All are those of their queues, too.
    private static IEnumerable<QueueConsumer> ConsumersOf(VirtualHostTopology topology)
    {
        QueueConsumer[] all = [.. topology.Consumers.OrderBy(static consumer => consumer.Id, StringComparer.Ordinal)];
        Assert.Equal(all, topology.Queues.SelectMany(queue => topology.ConsumersOf(queue).Values)
            .OrderBy(static consumer => consumer.Id, StringComparer.Ordinal));
        return all;
    }

    private static async Task<VirtualHostOwner> OpenAsync(MemoryStateStore store, bool isShared, VirtualHostTopology? newest) =>
        (await VirtualHostOwner.OpenAsync(store, VirtualHostCatalogue.DefaultHost, new VirtualHostOwnerOptions
        {
            IsShared = isShared,
        }, newest))!;

    // What it draws does not depend on the topology.
    private static VirtualHostCommand Any(Random random, VirtualHostTopology topology)
    {
        var (name, source, key) = ($"q{random.Next(Names)}", random.Next(4) == 0 ? "amq.topic" : $"x{random.Next(2)}",
            $"k{random.Next(2)}");
        var binding = random.Next(5) == 0 ? new BindingRequest(source, DestinationKind.Exchange, $"x{random.Next(2)}", key)
            : new BindingRequest(source, DestinationKind.Queue, name, key);
        var consumer = topology.Consumers.MinBy(static one => one.Id, StringComparer.Ordinal);
        return random.Next(15) switch
        {
            < 3 => VirtualHostOwnerTests.Declare(name, durable: name != "q0"),
            3 => new DeleteQueue(name, null),
            4 => new DeclareQueue(new QueueDeclaration { Name = "mine", Exclusive = true }, $"c{random.Next(2)}"),
            5 => new EndConnection($"c{random.Next(2)}"),
            6 => new DeleteExchange($"x{random.Next(2)}"),
            7 => new Unbind(binding, null),
            8 => new DeclareExchange(new ExchangeDeclaration
            {
                Name = $"x{random.Next(2)}",
                Type = ExchangeTypes.Topic,
                Durable = true,
                AutoDelete = true,
            }),
            9 => new RemoveConsumer(consumer?.Queue ?? name, consumer?.QueueId ?? 0, consumer?.Id ?? "none"),
            10 or 11 => new AddConsumer(new QueueConsumer
            {
                Queue = name,
                QueueId = topology.FindQueue(name)?.Id ?? 0,
                Id = $"{random.NextInt64()}",
                Connection = $"c{random.Next(2)}",
                Exclusive = random.Next(4) == 0,
            }),
            _ => new Bind(binding, null),
        };
    }
}
