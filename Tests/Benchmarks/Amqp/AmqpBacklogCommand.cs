using System.Diagnostics;
using System.Globalization;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;

namespace OrleansMq.Tests.Benchmarks.Amqp;

/// <summary>What a backlog in a quorum queue costs a broker for AMQP 0-9-1: its memory, its start with it, and the rate at which
/// it is drained, beside that of a queue with few messages at the same broker.</summary>
internal static class AmqpBacklogCommand
{
    private const string Backlog = "backlog", Short = "short";
    private const int Publishers = 2;
    private const int Window = 500;
    private const ushort Prefetch = 500;
    private static readonly TimeSpan Settle = TimeSpan.FromSeconds(3);

    public static async Task<int> RunAsync(CommandArguments arguments)
    {
        var messages = arguments.Number("--messages", 10_000_000, least: 1);
        var few = arguments.Number("--few", 500_000, least: 1);
        var rounds = arguments.Number("--rounds", 3, least: 1);
        var size = arguments.Number("--size", 1000, 1, AmqpLoad.MostMessageBytes);
        var settings = new BrokerSettings(1, FlushSetting.EveryAcknowledgement);
        var brokers = AmqpBrokers.Choose(arguments, settings);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{Environment.ProcessorCount} processors, load {File.ReadAllText("/proc/loadavg").Trim()}"));
        foreach (var broker in brokers)
        {
            var directory = arguments.Directory("amqp-backlog");
            try
            {
                Console.WriteLine($"{broker.Name}: messages of {size:N0} bytes");
                await MeasureAsync(broker, settings, directory, messages, few, rounds, size);
            }
            finally
            {
                Directory.Delete(directory, recursive: true);
            }
        }
        return 0;
    }

    private static async Task MeasureAsync(IBrokerUnderTest broker, BrokerSettings settings, string directory, int messages, int few,
        int rounds, int size)
    {
        await using (var running = await broker.StartAsync(settings, directory, CancellationToken.None))
        {
            foreach (var queue in (string[])[Backlog, Short])
            {
                using var client = AmqpClient.Connect(running.Endpoint);
                client.DeclareQueue(queue, "quorum");
            }
            Rounds(running, few, rounds, size, "published and drained, without a backlog");
            Thread.Sleep(Settle);
            var empty = ProcessFigures.Memory(running.Processes);
            Phase(running, messages, "published", () => Publish(running.Endpoint, Backlog, messages, size));
            Thread.Sleep(Settle);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  resident {empty / 1e6:F0} MB before and "
                + $"{ProcessFigures.Memory(running.Processes) / 1e6:F0} MB after"));
        }
        await using (var running = await RestartAsync(broker, settings, directory, "stopped"))
        {
            foreach (var process in running.Processes)
                Process.GetProcessById(process).Kill();
        }
        await using (var running = await RestartAsync(broker, settings, directory, "killed"))
        {
            Rounds(running, few, rounds, size, "published and drained, beside the backlog");
            Phase(running, messages, "of the backlog drained", () => Drain(running.Endpoint, Backlog, messages));
            Rounds(running, few, rounds, size, "published and drained, after the backlog");
        }
    }

    private static async Task<RunningBroker> RestartAsync(IBrokerUnderTest broker, BrokerSettings settings, string directory, string how)
    {
        var start = Stopwatch.GetTimestamp();
        var running = await broker.StartAsync(settings, directory, CancellationToken.None);
        try
        {
            using var client = AmqpClient.Connect(running.Endpoint);
            client.Consume(Backlog, 1);
            var deliveries = new DeliveryReader();
            while (!deliveries.Completes(client.ReadFrame()))
            {
            }
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {how} and started with the backlog: serves after "
                + $"{running.StartTime.TotalSeconds:F2} s, the first message is there after "
                + $"{Stopwatch.GetElapsedTime(start).TotalSeconds:F2} s, resident {ProcessFigures.Memory(running.Processes) / 1e6:F0} MB"));
            return running;
        }
        catch
        {
            await running.DisposeAsync();
            throw;
        }
    }

    private static void Rounds(RunningBroker broker, int few, int rounds, int size, string what)
    {
        for (var round = 0; round < rounds; round++)
        {
            Phase(broker, few, what[..what.IndexOf(' ')] + what[what.IndexOf(',')..],
                () => Publish(broker.Endpoint, Short, few, size));
            Phase(broker, few, what[(what.IndexOf("and", StringComparison.Ordinal) + 4)..], () => Drain(broker.Endpoint, Short, few));
        }
    }

    // Prints the rate, the broker's processor time, and the most memory that it had meanwhile.
    private static void Phase(RunningBroker broker, int messages, string what, Action work)
    {
        using var over = new ManualResetEventSlim();
        var peak = 0L;
        var sampler = LoadThreads.Start(() =>
        {
            do
                peak = Math.Max(peak, ProcessFigures.Memory(broker.Processes));
            while (!over.Wait(TimeSpan.FromMilliseconds(250)));
        });
        var (start, processor) = (Stopwatch.GetTimestamp(), ProcessorTime.Of(broker.AllProcesses));
        work();
        var elapsed = Stopwatch.GetElapsedTime(start);
        processor = ProcessorTime.Of(broker.AllProcesses) - processor;
        over.Set();
        sampler.Join();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {messages:N0} {what}: {elapsed.TotalSeconds:F1} s, "
            + $"{messages / elapsed.TotalSeconds:N0}/s; processor time {processor * 1e6 / messages:F2} us each; at most {peak / 1e6:F0} MB "
            + $"resident"));
    }

    private static void Publish(string endpoint, string queue, int messages, int size) => LoadThreads.RunAll(Enumerable.Range(0, Publishers)
        .Select(publisher => (Action)(() => PublishPart(endpoint, queue, PartOf(messages, publisher), size))), static () => { });

    private static int PartOf(int messages, int publisher) =>
        (messages / Publishers) + (publisher < messages % Publishers ? 1 : 0);

    // To the default exchange, whose routing key is the queue.
    private static void PublishPart(string endpoint, string queue, int messages, int size)
    {
        using var client = AmqpClient.Connect(endpoint);
        client.Confirm();
        var encoded = AmqpLoad.Encode(queue, Window, size);
        var window = new ConfirmWindow(Window);
        for (int published = 0, confirmed = 0; confirmed < messages;)
        {
            var count = Math.Min(window.Free, messages - published);
            window.Publish(count, Stopwatch.GetTimestamp());
            client.Send(encoded.AsSpan(0, count * (encoded.Length / Window)));
            published += count;
            var frame = client.ReadFrame();
            do
                confirmed += window.Confirm(frame, 0, null);
            while (client.TryReadFrame(out frame));
        }
    }

    private static void Drain(string endpoint, string queue, int messages)
    {
        using var client = AmqpClient.Connect(endpoint);
        client.Consume(queue, Prefetch);
        var deliveries = new DeliveryReader();
        for (var received = 0; received < messages;)
            received += client.Acknowledge(deliveries);
        // The broker answers when it has processed the acknowledgements.
        client.DeclareQueue(queue, "quorum");
    }
}
