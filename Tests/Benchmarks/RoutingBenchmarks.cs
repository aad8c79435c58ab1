using System.Diagnostics;
using System.Globalization;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>The routing table of a large virtual host: time and memory to make it, to change it by one binding, and to route a message by
/// each type of exchange.</summary>
internal static class RoutingBenchmarks
{
    private const string Words = "words";
    private const string Keys = "keys";
    private const string All = "all";
    private const string Hash = "hash";
    private const string ByHeaders = "headers";
    private const string Outer = "outer";

    public static int Run(CommandArguments arguments)
    {
        var rounds = arguments.Number("--rounds", 3);
        var queues = arguments.Number("--queues", 10_000);
        var bindings = arguments.Number("--bindings", 100_000);
        var messages = arguments.Number("--messages", 1_000_000);
        Console.WriteLine($"{Environment.ProcessorCount} processors, {queues} queues, {bindings} bindings, {rounds} rounds of {messages} "
            + "messages");
        var before = GC.GetTotalMemory(forceFullCollection: true);
        var watch = Stopwatch.StartNew();
        var topology = Topology(queues, bindings);
        Print("to declare and bind all", watch.Elapsed.TotalMilliseconds, "ms");
        var between = GC.GetTotalMemory(forceFullCollection: true);
        watch.Restart();
        var table = RoutingTable.Of(topology, _ => null);
        Print("to make the table", watch.Elapsed.TotalMilliseconds, "ms");
        var after = GC.GetTotalMemory(forceFullCollection: true);
        Print("memory of exchanges, queues and bindings", (between - before) / 1e6, "MB");
        Print("memory of the table", (after - between) / 1e6, "MB");
        MeasureChange(topology, table, queues, rounds);
        MeasureDocument(topology, rounds);
        Measure(table, "direct, one queue", Keys, i => $"orders.{i % (bindings / 2)}", rounds, messages);
        Measure(table, "topic, three patterns match", Words, i => $"orders.{i % queues}.eu.created", rounds, messages);
        Measure(table, "topic, none matches", Words, i => $"bills.{i % queues}.eu.created", rounds, messages);
        Measure(table, "topic behind a fanout exchange", Outer, i => $"orders.{i % queues}.eu.created", rounds, messages);
        Measure(table, "consistent hash over 100 queues", Hash, i => $"customer-{i}", rounds, messages);
        Measure(table, "headers, 100 bindings", ByHeaders, i => "", rounds, messages / 10);
        Measure(table, "fanout to 100 queues", All, i => "", rounds, messages / 10);
        Measure(table, "default exchange", "", i => $"service-{i % queues}", rounds, messages);
        GC.KeepAlive(topology);
        return 0;
    }

    private static VirtualHostTopology Topology(int queues, int bindings)
    {
        var id = 10L;
        var topology = VirtualHostTopology.Create("/");
        foreach (var (name, type) in new[] { (Words, ExchangeTypes.Topic), (Keys, ExchangeTypes.Direct), (All, ExchangeTypes.Fanout),
            (Outer, ExchangeTypes.Fanout), (Hash, ExchangeTypes.ConsistentHash), (ByHeaders, ExchangeTypes.Headers) })
            topology = topology.DeclareExchange(new ExchangeDeclaration { Name = name, Type = type, Durable = true }, ++id).Next;
        for (var queue = 0; queue < queues; queue++)
            topology = topology.DeclareQueue(new QueueDeclaration { Name = $"service-{queue}", Durable = true }, "c", ++id, "").Next;
        for (var binding = 0; binding < bindings / 2; binding++)
        {
            var queue = binding % queues;
            topology = Bind(topology, Keys, queue, $"orders.{binding}");
            topology = Bind(topology, Words, queue, (binding / queues) switch
            {
                0 => $"orders.{queue}.#",
                1 => $"orders.{queue}.*.created",
                2 => $"*.{queue}.us.#",
                3 => $"#.{queue}.deleted",
                _ => $"orders.{queue}.eu.{binding}",
            });
        }
        topology = Bind(topology, Words, 0, "orders.#");
        for (var queue = 0; queue < 100; queue++)
        {
            topology = Bind(topology, All, queue, "");
            topology = Bind(topology, Hash, queue, "1");
            topology = Bind(topology, ByHeaders, queue, "", FieldTable.Of(("customer", new IntegerValue(queue)),
                ("region", new TextValue("eu"))));
        }
        return topology.Bind(new BindingRequest(Outer, DestinationKind.Exchange, Words), null).Next;
    }

    private static VirtualHostTopology Bind(VirtualHostTopology topology, string source, int queue, string key,
        FieldTable? arguments = null) =>
        topology.Bind(new BindingRequest(source, DestinationKind.Queue, $"service-{queue}", key, arguments), null).Next;

    private static void MeasureChange(VirtualHostTopology topology, RoutingTable table, int queues, int rounds)
    {
        const int Changes = 10_000;
        var results = new List<double>();
        for (var round = 0; round <= rounds; round++)
        {
            var (changed, routes) = (topology, table);
            var watch = Stopwatch.StartNew();
            for (var change = 0; change < Changes; change++)
            {
                var decision = changed.Bind(new BindingRequest(Words, DestinationKind.Queue, $"service-{change % queues}",
                    $"more.{change}.#"), null);
                changed = decision.Next;
                foreach (var edit in decision.Edits)
                    routes = routes.Apply(edit);
            }
            results.Add(watch.Elapsed.TotalMicroseconds / Changes);
        }
        Print("a bind: decision, image and table", Statistics.Median([.. results.Skip(1)]), "us");
    }

    private static void MeasureDocument(VirtualHostTopology topology, int rounds)
    {
        var (times, sizes) = (new List<double>(), new List<double>());
        for (var round = 0; round <= rounds; round++)
        {
            for (var shard = 0; shard < VirtualHostShard.Count; shard++)
            {
                var watch = Stopwatch.StartNew();
                var bytes = topology.DocumentOf(shard)?.ToBytes().Length ?? 0;
                if (round > 0)
                    times.Add(watch.Elapsed.TotalMicroseconds);
                sizes.Add(bytes);
            }
        }
        Print("a shard as JSON", Statistics.Median([.. times]), "us");
        Print("bytes of the largest shard", sizes.Max(), "bytes");
    }

    private static void Measure(RoutingTable table, string label, string exchange, Func<int, string> key, int rounds, int messages)
    {
        var keys = Enumerable.Range(0, 10_000).Select(key).ToArray();
        var headers = Enumerable.Range(0, 100)
            .Select(i => FieldTable.Of(("customer", new IntegerValue(i)), ("region", new TextValue("eu")))).ToArray();
        var collector = new RouteCollector();
        var results = new List<double>();
        var (found, bytes) = (0L, 0L);
        for (var round = 0; round <= rounds; round++)
        {
            found = 0;
            var before = GC.GetAllocatedBytesForCurrentThread();
            var watch = Stopwatch.StartNew();
            for (var message = 0; message < messages; message++)
            {
                table.Route(exchange, new RoutedMessage(keys[message % keys.Length], headers[message % headers.Length]), collector);
                found += collector.Targets.Count;
            }
            results.Add(watch.Elapsed.TotalMicroseconds / messages);
            bytes = GC.GetAllocatedBytesForCurrentThread() - before;
        }
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{label}: {Statistics.Median([.. results.Skip(1)]):N3} us a message "
            + $"(best {results.Skip(1).Min():N3}), {(double)found / messages:N2} queues, {bytes / messages} bytes allocated"));
    }

    private static void Print(string label, double value, string unit) =>
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{label}: {value:N1} {unit}"));
}
