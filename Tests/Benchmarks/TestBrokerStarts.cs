using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using OrleansMq.Testing;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>How long a test waits for the broker inside its process: from the call until the Kafka endpoint is up, until a Kafka client has
/// its first answer, and the cost of stopping it. The first start of a process includes loading and compiling the code, so each process
/// starts several.</summary>
internal static class TestBrokerStarts
{
    // ApiVersions in its oldest version, from a client without a name.
    private static readonly byte[] ApiVersions = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF];

    public static async Task<int> RunAsync(CommandArguments arguments)
    {
        if (arguments.Has("--once"))
            return await StartAsync(arguments.Number("--starts", 10));
        var (processes, starts) = (arguments.Number("--processes", 7), arguments.Number("--starts", 10));
        Console.WriteLine($"{processes} processes, one after the other, each starts and stops {starts} brokers in memory with a Kafka "
            + $"endpoint; {Environment.ProcessorCount} processors");
        var (first, later) = (new List<double[]>(), new List<double[]>());
        for (var process = 0; process < processes; process++)
        {
            var measured = await OfOneProcessAsync(starts);
            first.Add(measured[0]);
            later.AddRange(measured[1..]);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"process {process + 1}: first start {measured[0][0]:F0} ms, "
                + $"answered {measured[0][1]:F0} ms, CPU {measured[0][2]:F0} ms"));
        }
        Console.WriteLine("| start | started ms | worst | first answer ms | worst | CPU ms until then | worst | stopped ms | worst |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|---|");
        Console.WriteLine(Row("first of a process", first));
        Console.WriteLine(Row("later ones", later));
        return 0;
    }

    private static string Row(string name, List<double[]> measured) =>
        $"| {name} | " + string.Join(" | ", Enumerable.Range(0, 4).Select(column =>
            string.Create(CultureInfo.InvariantCulture,
                $"{Statistics.Median(measured.Select(values => values[column])):F1} | {measured.Max(values => values[column]):F1}")))
                + " |";

    private static async Task<double[][]> OfOneProcessAsync(int starts)
    {
        var lines = await OwnProcess.RunAsync("test-broker", "--once", "--starts", $"{starts}");
        if (lines.Length != starts)
            throw new InvalidOperationException($"A process told of {lines.Length} of {starts} starts.");
        return [.. lines.Select(static line => line.Split(' ').Select(static value => double.Parse(value, CultureInfo.InvariantCulture))
            .ToArray())];
    }

    private static async Task<int> StartAsync(int starts)
    {
        for (var number = 0; number < starts; number++)
        {
            var (began, worked) = (Stopwatch.GetTimestamp(), Environment.CpuUsage.TotalTime);
            var broker = await TestBroker.StartAsync(new TestBrokerOptions { Kafka = true });
            var started = Stopwatch.GetElapsedTime(began);
            await AskAsync(broker.KafkaAddress);
            var answered = Stopwatch.GetElapsedTime(began);
            worked = Environment.CpuUsage.TotalTime - worked;
            var stopping = Stopwatch.GetTimestamp();
            await broker.DisposeAsync();
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"{started.TotalMilliseconds} {answered.TotalMilliseconds} {worked.TotalMilliseconds} "
                + $"{Stopwatch.GetElapsedTime(stopping).TotalMilliseconds}"));
        }
        return 0;
    }

    private static async Task AskAsync(string address)
    {
        using var client = new TcpClient { NoDelay = true };
        await client.ConnectAsync(IPEndPoint.Parse(address));
        await client.GetStream().WriteAsync(ApiVersions);
        var length = new byte[4];
        await client.GetStream().ReadExactlyAsync(length);
        await client.GetStream().ReadExactlyAsync(new byte[BinaryPrimitives.ReadInt32BigEndian(length)]);
    }
}
