using System.Diagnostics;
using System.Globalization;
using System.Text;
using OrleansMq.Tests.Fuzz.Cases;

namespace OrleansMq.Tests.Fuzz.Wire;

/// <summary>
/// Hostile connections to a broker in a process of its own, beside two clients that behave well. Fails where the broker dies, answers
/// somebody what is another client's, leaves a connection open, logs an error, loses or doubles a record, or keeps memory, threads or
/// handles.
/// </summary>
/// <param name="options">The first seed, and how much.</param>
/// <param name="write">Where lines go.</param>
internal sealed class WireRun(FuzzOptions options, Action<string> write)
{
    private const int MostFailures = 10;
    // Until then the broker's code is compiled, and its pools fill.
    private const int WarmUpConversations = 300;
    // What may be left of all: threads of the pool and files of logs, but no connection.
    private const int SpareThreads = 48, SpareHandles = 64;
    private const int MostMegabytes = 700;
    // Hostile clients must not fill the log: it has rare lines.
    private const int MostLinesAMinute = 600, SpareLines = 400;

    private static readonly string[] Errors = [" ERROR ", " FATAL ", "Unhandled exception"];
    // A fetch that was left behind by its client waits for up to a minute.
    private static readonly TimeSpan TimeToRecover = TimeSpan.FromSeconds(150);

    private readonly List<string> _problems = [];
    private readonly int[] _perPort = new int[Enum.GetValues<HostilePort>().Length];
    private long _next = options.Seed;
    private long _frames, _connections, _bytes;

    /// <summary>The frames and connections so far.</summary>
    public string Progress => string.Create(CultureInfo.InvariantCulture, $"{Volatile.Read(ref _frames):N0} frames over "
        + $"{Volatile.Read(ref _connections):N0} connections, {Volatile.Read(ref _bytes):N0} bytes answered");

    /// <summary>The frames sent.</summary>
    public long Frames => _frames;

    /// <summary>The connections to each port.</summary>
    public IReadOnlyList<int> PerPort => _perPort;

    /// <summary>What went wrong.</summary>
    public IReadOnlyList<string> Problems => _problems;

    /// <summary>Runs to the end. Returns the number of problems.</summary>
    public async Task<int> RunAsync(CancellationToken cancellationToken)
    {
        await using var broker = await BrokerProcess.StartAsync();
        var secret = $"secret-{Guid.NewGuid():N}";
        using var stop = new CancellationTokenSource();
        using var kafka = new GoodKafkaClient(broker.Sasl);
        using var http = new GoodHttpClient(broker);
        GoodRun[] good = [new GoodRun("Kafka", kafka, secret), new GoodRun("HTTP", http, secret)];
        var serving = good.Select(run => Task.Run(() => run.RunAsync(stop.Token), CancellationToken.None)).ToArray();
        var conversations = new Conversations(await ClientHello.TakeAsync(), broker.Token);
        var client = new HostileClient(broker);
        var began = Stopwatch.GetTimestamp();

        await HostilesAsync(() => _next - options.Seed < WarmUpConversations && GoesOn());
        var before = broker.HasExited ? default : await QuietAsync(broker, default);
        await HostilesAsync(GoesOn);
        var after = broker.HasExited ? default : await QuietAsync(broker, before);
        var minutes = Stopwatch.GetElapsedTime(began).TotalMinutes;
        await stop.CancelAsync();
        foreach (var run in serving)
            await RecordAsync(run);
        Judge(broker, before, after, minutes);
        write(string.Create(CultureInfo.InvariantCulture, $"figures: {Progress}, {minutes * 60:F0} s; {good[0]}; {good[1]}; "
            + $"broker {before}, then {after}; {broker.Log.Length} log lines; {_problems.Count} problems"));
        return _problems.Count;

        bool GoesOn() => (options.Frames == 0 || Volatile.Read(ref _frames) < options.Frames)
            && (options.Seconds == 0 || Stopwatch.GetElapsedTime(began).TotalSeconds < options.Seconds);

        // A conversation that never ends is found by the client's deadline. A seed that is repeated is the only one.
        Task HostilesAsync(Func<bool> goesOn) =>
            Task.WhenAll(Enumerable.Range(0, options.Frames == 1 ? 1 : options.Clients).Select(_ => Task.Run(async () =>
            {
                while (goesOn() && !cancellationToken.IsCancellationRequested && !broker.HasExited && _problems.Count < MostFailures)
                    await RunOneAsync(client, conversations, Interlocked.Increment(ref _next) - 1, secret);
            }, CancellationToken.None)));
    }

    private async Task RunOneAsync(HostileClient client, Conversations conversations, long seed, string secret)
    {
        var conversation = conversations.Of(seed);
        try
        {
            var received = await client.RunAsync(conversation);
            Interlocked.Add(ref _bytes, received.Length);
            Answers.Check(conversation, received, Encoding.UTF8.GetBytes(secret));
        }
        catch (Exception fault)
        {
            Report($"Seed {seed} failed; replay with: {FuzzOptions.Command} --seed {seed} --frames 1\n{conversation.Port}: "
                + fault.Message + "\n" + string.Join('\n', conversation.Pieces.Select(static piece => Convert.ToHexString(piece.AsSpan(0,
                    Math.Min(piece.Length, 500))))));
        }
        Interlocked.Add(ref _frames, conversation.Frames);
        Interlocked.Increment(ref _connections);
        Interlocked.Increment(ref _perPort[(int)conversation.Port]);
    }

    /// <summary>Waits until what was before is reached again, or the time is over.</summary>
    private static async Task<ProcessState> QuietAsync(BrokerProcess broker, ProcessState before)
    {
        var began = Stopwatch.GetTimestamp();
        var lowest = broker.State;
        while (Stopwatch.GetElapsedTime(began) < (before == default ? TimeSpan.FromSeconds(2) : TimeToRecover) && !broker.HasExited)
        {
            lowest = broker.State;
            if (before != default && IsRecovered(before, lowest))
                break;
            await Task.Delay(TimeSpan.FromMilliseconds(200));
        }
        return lowest;
    }

    private static bool IsRecovered(ProcessState before, ProcessState after) => after.Threads <= before.Threads + SpareThreads
        && after.Handles <= before.Handles + SpareHandles && after.Megabytes <= MostMegabytes;

    private async Task RecordAsync(Task run)
    {
        try
        {
            await run;
        }
        catch (Exception fault)
        {
            Report($"A client that behaves well was hurt: {fault.Message}");
        }
    }

    private void Judge(BrokerProcess broker, ProcessState before, ProcessState after, double minutes)
    {
        if (broker.HasExited)
            Report($"The broker died. Seeds from {options.Seed} to {_next - 1} were sent, the last {options.Clients} at that time.\n"
                + string.Join('\n', broker.Log.TakeLast(50)));
        else if (!IsRecovered(before, after))
            Report($"The broker does not recover: {before} before, {after} afterwards; allowed are {MostMegabytes} MB, {SpareThreads} "
                + $"more threads and {SpareHandles} more handles.");
        var log = broker.Log;
        foreach (var line in log.Where(static line => Errors.Any(word => line.Contains(word, StringComparison.Ordinal))).Take(5))
            Report($"The broker logged an error: {line}");
        if (log.Length > SpareLines + (MostLinesAMinute * minutes))
            Report($"The broker logged {log.Length} lines, the last ones:\n{string.Join('\n', log.TakeLast(20))}");
    }

    private void Report(string problem)
    {
        lock (_problems)
            _problems.Add(problem);
        write(problem);
    }
}
