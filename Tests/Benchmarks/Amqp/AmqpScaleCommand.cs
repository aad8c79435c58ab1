using System.Diagnostics;
using System.Globalization;
using System.Net;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Benchmarks.Peers.Works;

namespace OrleansMq.Tests.Benchmarks.Amqp;

/// <summary>What many queues, bindings and idle connections cost a broker for AMQP 0-9-1, in time, processor time and memory. Each
/// measurement has a broker of its own, in an empty directory.</summary>
internal static class AmqpScaleCommand
{
    private const int OtherFiles = 2_000;
    private const int BindQueues = 1_000;
    private const int BindsAtOnce = 100;
    private const int Checked = 100;
    private const int PublishBytes = 64 << 10;
    private const string Exchange = "scale.topic", Empty = "scale.empty";
    // A broker may limit the connections of one address.
    private const int ConnectionsPerAddress = 500;
    private static readonly TimeSpan Settle = TimeSpan.FromSeconds(3);
    private static readonly string[] Measurements = ["queues-one", "queues-many", "bindings", "connections"];

    public static async Task<int> RunAsync(CommandArguments arguments)
    {
        var queues = arguments.Number("--queues", 10_000, least: 1);
        var bindings = arguments.Number("--bindings", 100_000, least: 1);
        var connections = arguments.Number("--connections", 10_000, least: 1);
        var declarers = arguments.Number("--declarers", 8, least: 1);
        var messages = arguments.Number("--messages", 500_000, least: 1);
        var type = arguments.Text("--type") ?? "quorum";
        if (type is not ("quorum" or "classic"))
            throw new FormatException($"--type is '{type}'; it may be quorum or classic.");
        var only = arguments.Text("--only");
        if (only is not null && !Measurements.Contains(only))
            throw new FormatException($"--only is '{only}'; it may be {string.Join(" or ", Measurements)}.");
        if (OpenFiles.Limit() is var limit && limit < connections + OtherFiles)
            throw new FormatException($"{connections} connections need as many open files, but the limit is {limit}: "
                + "raise 'ulimit -Hn', or lower --connections.");
        var settings = new BrokerSettings(arguments.Number("--nodes", 1, least: 1), FlushSetting.EveryAcknowledgement);
        // RabbitMQ is started as one node.
        if (settings.Nodes > 1 && arguments.Has("--beside"))
            throw new FormatException($"--beside compares one node with one node, but --nodes is {settings.Nodes}: leave one of them out.");
        var brokers = AmqpBrokers.Choose(arguments, settings);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{Environment.ProcessorCount} processors, load {File.ReadAllText("/proc/loadavg").Trim()}, {settings.Nodes} node(s)"));
        foreach (var broker in brokers)
        {
            async Task OfAsync(string name, Action<RunningBroker> measure)
            {
                if (only is null || name == only)
                    await OnAsync(broker, settings, arguments, running => measure(running));
            }
            await OfAsync("queues-one", running => Declare(running, queues, 1, type));
            await OfAsync("queues-many", running => Declare(running, queues, declarers, type));
            await OfAsync("bindings", running => Bind(running, bindings, declarers, messages, type));
            await OfAsync("connections", running => Connect(running, connections));
        }
        return 0;
    }

    private static async Task OnAsync(IBrokerUnderTest broker, BrokerSettings settings, CommandArguments arguments,
        Action<RunningBroker> measure)
    {
        var directory = arguments.Directory("amqp-scale");
        try
        {
            await using var running = await broker.StartAsync(settings, directory, CancellationToken.None);
            Console.Write($"{broker.Name}: ");
            measure(running);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    // Each connection declares one queue after another, and waits for each answer.
    private static void Declare(RunningBroker broker, int queues, int connections, string type)
    {
        var clients = Enumerable.Range(0, connections).Select(_ => AmqpClient.Connect(broker.Endpoint)).ToArray();
        try
        {
            var memory = ProcessFigures.Memory(broker.Processes);
            // A queue may be made ready after the answer; one that is declared again is.
            foreach (var which in (string[])["declared", "declared again"])
            {
                var cost = Cost.Begin(broker);
                Each(clients, (client, first) =>
                {
                    for (var queue = first; queue < queues; queue += connections)
                        client.DeclareQueue($"queue-{queue}", type);
                });
                Print($"{queues:N0} durable {type} queues {which} over {connections} connection(s)", cost.Until(queues)
                    + Megabytes(", {0} MB resident before, {1} MB after", memory, ProcessFigures.Memory(broker.Processes)));
            }
        }
        finally
        {
            Close(clients);
        }
    }

    // Messages that no binding matches: all of the routing, and no queue.
    private static void Bind(RunningBroker broker, int bindings, int connections, int messages, string type)
    {
        var clients = Enumerable.Range(0, connections).Select(_ => AmqpClient.Connect(broker.Endpoint)).ToArray();
        try
        {
            clients[0].DeclareExchange(Exchange, "topic");
            clients[0].DeclareExchange(Empty, "topic");
            Each(clients, (client, first) =>
            {
                for (var queue = first; queue < BindQueues; queue += connections)
                    client.DeclareQueue($"queue-{queue}", type);
            });
            Publish(broker, clients[0], Empty, bindings, messages, "to a topic exchange without bindings");
            Thread.Sleep(Settle);
            var memory = ProcessFigures.Memory(broker.Processes);
            var cost = Cost.Begin(broker);
            Each(clients, (client, first) =>
            {
                var sent = 0;
                for (var binding = first; binding < bindings; binding += connections)
                {
                    // Every fourth pattern begins with a word that matches all.
                    client.AddBind($"queue-{binding % BindQueues}", Exchange, $"{(binding % 4 == 0 ? "*" : "orders")}.{binding}.new");
                    if (++sent < BindsAtOnce)
                        continue;
                    client.Send();
                    for (; sent > 0; sent--)
                        client.ExpectBound();
                }
                client.Send();
                for (; sent > 0; sent--)
                    client.ExpectBound();
            });
            Print($"{bindings:N0} bindings of one topic exchange to {BindQueues:N0} queues, over {connections} connections, {BindsAtOnce} "
                + "at once each", cost.Until(bindings));
            Thread.Sleep(Settle);
            Print("the bindings' memory", Megabytes("{0} MB resident before, {1} MB after", memory,
                ProcessFigures.Memory(broker.Processes)));
            cost = Cost.Begin(broker);
            const int alone = 1_000;
            for (var binding = 0; binding < alone; binding++)
            {
                clients[0].AddBind($"queue-{binding % BindQueues}", Exchange, $"alone.{binding}");
                clients[0].Send();
                clients[0].ExpectBound();
            }
            Print($"{alone:N0} more, one after another", cost.Until(alone));
            Publish(broker, clients[0], Exchange, bindings, messages, "to the exchange with them, none matches");
        }
        finally
        {
            Close(clients);
        }
    }

    // Two of a key's three words are those of a binding. The first messages show that no binding matches: they come back. Two rounds are
    // for the code to be compiled, the third is printed.
    private static void Publish(RunningBroker broker, AmqpClient client, string exchange, int bindings, int messages, string what)
    {
        var body = new byte[16];
        for (var message = 0; message < Checked; message++)
        {
            client.AddPublish(exchange, Key(message), body, isMandatory: true);
            client.SendReturned(exchange);
        }
        for (var round = 0; round < 3; round++)
        {
            var cost = Cost.Begin(broker);
            for (var message = 0; message < messages; message++)
            {
                client.AddPublish(exchange, Key(message), body);
                if (client.Unsent >= PublishBytes)
                    client.Send();
            }
            client.Sync(exchange);
            if (round == 2)
                Print($"{messages:N0} messages {what}", cost.Until(messages));
        }

        string Key(int message) => $"orders.{message % bindings}.gone";
    }

    private static void Connect(RunningBroker broker, int connections)
    {
        var clients = new List<AmqpClient>();
        try
        {
            // The first connections have the code compiled.
            for (var warm = 0; warm < 20; warm++)
                AmqpClient.Connect(broker.Endpoint).Dispose();
            Thread.Sleep(Settle);
            var memory = ProcessFigures.Memory(broker.Processes);
            var cost = Cost.Begin(broker);
            for (var i = 0; i < connections; i++)
            {
                var from = new IPAddress([127, 0, 1, (byte)(1 + (i / ConnectionsPerAddress))]);
                clients.Add(AmqpClient.Connect(broker.Endpoint, from, 1 << 10));
            }
            Print($"{connections:N0} connections with a channel each", cost.Until(connections));
            Thread.Sleep(Settle);
            var after = ProcessFigures.Memory(broker.Processes);
            Print("idle", Megabytes("{0} MB resident before, {1} MB after", memory, after) + string.Create(CultureInfo.InvariantCulture,
                $": {(after - memory) / 1e3 / connections:F1} kB each"));
            if (clients.Count(static client => client.IsClosed) is > 0 and var closed)
                throw new InvalidOperationException($"The broker has closed {closed} of {connections} idle connections.");
        }
        finally
        {
            Close(clients);
        }
    }

    private static void Each(AmqpClient[] clients, Action<AmqpClient, int> act) => Task.WaitAll([.. clients.Select((client, number) =>
        Task.Factory.StartNew(() => act(client, number), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default))]);

    private static void Close(IEnumerable<AmqpClient> clients)
    {
        foreach (var client in clients)
            client.Dispose();
    }

    private static string Megabytes(string format, long before, long after) =>
        string.Format(CultureInfo.InvariantCulture, format, before / 1_000_000, after / 1_000_000);

    private static void Print(string what, string figures) => Console.WriteLine($"  {what}: {figures}");

    // The processor time is that of the broker and what it needs, without the benchmark's.
    private readonly record struct Cost(RunningBroker Broker, long Start, double Processor, long Written)
    {
        public static Cost Begin(RunningBroker broker) => new(broker, Stopwatch.GetTimestamp(), ProcessorTime.Of(broker.AllProcesses),
            ProcessFigures.DiskWrites(broker.AllProcesses));

        public string Until(int count)
        {
            var (elapsed, processor) = (Stopwatch.GetElapsedTime(Start), ProcessorTime.Of(Broker.AllProcesses) - Processor);
            return string.Create(CultureInfo.InvariantCulture, $"{elapsed.TotalSeconds:F2} s, {elapsed.TotalMicroseconds / count:F2} us "
                + $"each; processor time {processor:F2} s, {processor * 1e6 / count:F2} us each; written "
                + $"{(ProcessFigures.DiskWrites(Broker.AllProcesses) - Written) / 1e3 / count:F2} kB each");
        }
    }
}
