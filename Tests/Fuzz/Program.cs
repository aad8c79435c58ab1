using OrleansMq.Tests.Fuzz.InProcess;
using OrleansMq.Tests.Fuzz.Wire;

namespace OrleansMq.Tests.Fuzz;

/// <summary>Hostile clients as a long run.</summary>
internal static class Program
{
    private const string Usage = """
        Usage: dotnet run -c Release --project Tests/Fuzz -- [--in-process [--amqp]] [--seed N] [--frames N] [--seconds S] [--clients N]

        Sends broken and random frames to a broker in a process of its own, over sockets: the Kafka protocol without and with SASL and TLS,
        HTTP, AMQP and RabbitMQ's management API. Two clients that behave well beside it lose nothing, and get nothing twice.
          --in-process   decodes and answers frames of the Kafka protocol without sockets instead: for hundreds of millions of them
          --amqp         with --in-process: the frames of AMQP clients, against the broker's own connections, channels and queues
          --seed N       the first seed, by default a new one; each connection, or with --in-process each 10,000 frames, has the next one
          --frames N     the number of frames
          --seconds S    how long, 60 by default without --frames
          --clients N    the hostile connections at a time, 16 by default
        Exit code 0: no harm was done; 1: a seed failed, and the line names it; 2: invalid option.
        """;

    private static readonly TimeSpan TimeBetweenReports = TimeSpan.FromSeconds(30);

    public static async Task<int> Main(string[] args)
    {
        if (args is ["--help" or "-h"])
        {
            Console.WriteLine(Usage);
            return 0;
        }
        if (FuzzOptions.Parse(args) is not { } options)
        {
            Console.Error.WriteLine(Usage);
            return 2;
        }
        Console.WriteLine($"First seed {options.Seed}");
        using var cancellation = new CancellationTokenSource();
        Console.CancelKeyPress += (_, pressed) =>
        {
            pressed.Cancel = true;
            cancellation.Cancel();
        };
        if (options.InProcess)
        {
            var frames = new FrameRun(options, Console.WriteLine);
            using var reports = new Timer(_ => Console.Error.WriteLine(frames.Progress), null, TimeBetweenReports, TimeBetweenReports);
            return await frames.RunAsync(cancellation.Token) == 0 ? 0 : 1;
        }
        var wire = new WireRun(options, Console.WriteLine);
        using var progress = new Timer(_ => Console.Error.WriteLine(wire.Progress), null, TimeBetweenReports, TimeBetweenReports);
        return await wire.RunAsync(cancellation.Token) == 0 ? 0 : 1;
    }
}
