using System.Globalization;

namespace OrleansMq.Tests.Fuzz;

/// <summary>The options of a run.</summary>
/// <param name="Seed">The first seed; each case has the next one.</param>
/// <param name="Frames">The number of frames; 0: as many as there is time for.</param>
/// <param name="Seconds">How long; 0: until all frames are done.</param>
/// <param name="InProcess">Whether frames go to a broker in memory without sockets.</param>
internal sealed record FuzzOptions(long Seed, long Frames, int Seconds, bool InProcess)
{
    /// <summary>The command of the program.</summary>
    public const string Command = "dotnet run -c Release --project Tests/Fuzz --";

    private const int DefaultSeconds = 60;

    /// <summary>How many clients are hostile at a time, each with a connection.</summary>
    public int Clients { get; init; } = 16;

    /// <summary>Whether the frames are AMQP's instead of Kafka's; only without sockets.</summary>
    public bool IsAmqp { get; init; }

    /// <summary>A seed that no run had before.</summary>
    public static long NewSeed() => Random.Shared.NextInt64(1L << 40);

    /// <summary>Parses a command line. Returns null if it is wrong.</summary>
    public static FuzzOptions? Parse(string[] args)
    {
        var options = new FuzzOptions(NewSeed(), 0, 0, false);
        for (var i = 0; i < args.Length; i++)
        {
            if (args[i] == "--in-process")
            {
                options = options with { InProcess = true };
                continue;
            }
            if (args[i] == "--amqp")
            {
                options = options with { IsAmqp = true };
                continue;
            }
            if (i + 1 == args.Length || !long.TryParse(args[i + 1], NumberStyles.None, CultureInfo.InvariantCulture, out var number))
                return null;
            switch (args[i++])
            {
                case "--seed":
                    options = options with { Seed = number };
                    break;
                case "--frames":
                    options = options with { Frames = number };
                    break;
                case "--seconds" when number <= int.MaxValue:
                    options = options with { Seconds = (int)number };
                    break;
                case "--clients" when number is > 0 and <= 1_000:
                    options = options with { Clients = (int)number };
                    break;
                default:
                    return null;
            }
        }
        if (options is { IsAmqp: true, InProcess: false })
            return null;
        return options is { Frames: 0, Seconds: 0 } ? options with { Seconds = DefaultSeconds } : options;
    }
}
