using System.Collections.Concurrent;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Chaos.Transactions;

/// <summary>Producers of transactions, each in its own process: a writer and a copier of librdkafka and of Apache Kafka's client. One that
/// is killed or ends is replaced by one with the same transactional id. An administrator of Kafka's client looks on.</summary>
internal sealed class TransactionFleet(string servers, Action<TransactionEvent> take, RunLog log, int seed, string classes)
    : IAsyncDisposable
{
    // Of a client's output, and as many of its log.
    private const int LinesTold = 40;
    private const int LinesInShort = 6;

    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(60);

    // Where the client finds librdkafka.
    private static readonly Dictionary<string, string> Peers = new()
    {
        ["OMQ_PEERS"] = Environment.GetEnvironmentVariable("OMQ_PEERS") ?? "",
    };

    private readonly List<Slot> _slots = [new("writer", IsJava: false), new("writer", IsJava: true), new("copier", IsJava: false),
        new("copier", IsJava: true)];
    private readonly List<StartedProgram> _all = [];
    private readonly ConcurrentDictionary<(string Name, bool IsLog), Queue<string>> _latest = [];
    private readonly Dictionary<string, int> _faults = [];
    private StartedProgram? _administrator;
    private int _started;

    /// <summary>The transactional ids.</summary>
    public IReadOnlyList<string> Ids => [.. _slots.Select(static slot => slot.TransactionalId)];

    /// <summary>Whether the client of a transactional id has an epoch of its own for each transaction.</summary>
    public static bool HasOwnEpochs(string transactionalId) => transactionalId.EndsWith("-java", StringComparison.Ordinal);

    /// <summary>The faults so far, for the figures.</summary>
    public string Faults => string.Join(", ", _faults.OrderBy(static fault => fault.Key, StringComparer.Ordinal).Select(static fault =>
        string.Create(CultureInfo.InvariantCulture, $"{fault.Value} {fault.Key}")));

    /// <summary>Starts all.</summary>
    public async Task StartAsync()
    {
        // Once, since each process would compile it again.
        await ClientProgram.RunAsync(ClientProgram.Require("javac"),
            ["-cp", Path.Combine(ClientProgram.RequireKafka(), "*"), "-d", classes, JavaSource()]);
        _administrator = new StartedProgram(ClientProgram.Require("java"),
            Java("observe", servers, string.Join(',', Ids), $"{TransactionRun.Partitions}"), line => Hear("administrator", line));
        foreach (var slot in _slots)
            Replace(slot);
    }

    /// <summary>Stops the administrator. It must not have ended before.</summary>
    public async Task StopAdministratorAsync()
    {
        Assert.False(_administrator!.HasExited, _administrator.Said());
        Signals.TrySend(_administrator.Id, Signals.Terminate);
        await _administrator.ExitAsync().WaitAsync(StopPatience);
    }

    /// <summary>Kills, pauses or replaces clients, and replaces those that have ended, until the time is over.</summary>
    public async Task BreakAsync(CancellationToken time)
    {
        var random = new Random(seed);
        var pauses = new List<Task>();
        while (await TryDelayAsync(TimeSpan.FromSeconds(1 + (3 * random.NextDouble())), time))
        {
            var slot = _slots[random.Next(_slots.Count)];
            var process = slot.Program!.Id;
            var lasts = TimeSpan.FromSeconds(0.3 + (9 * random.NextDouble()));
            switch (random.Next(4))
            {
                case 0:
                    Tell($"{slot.Name} is killed", "killed");
                    Signals.TrySend(process, Signals.Kill);
                    await slot.Program.ExitAsync();
                    break;
                case 1:
                    Tell($"{slot.Name} pauses for {lasts.TotalSeconds:0.0} s", "paused");
                    Signals.TrySend(process, Signals.Stop);
                    pauses.Add(ResumeAsync(process, lasts));
                    break;
                case 2:
                    Tell($"{slot.Name} is replaced while it pauses for {lasts.TotalSeconds:0.0} s", "replaced");
                    Signals.TrySend(process, Signals.Stop);
                    Replace(slot);
                    pauses.Add(ResumeAsync(process, lasts));
                    break;
                default:
                    break;
            }
            ReplaceEnded();
        }
        await Task.WhenAll(pauses);
    }

    /// <summary>Replaces those that have ended.</summary>
    public void ReplaceEnded()
    {
        foreach (var slot in _slots.Where(static slot => slot is { IsStopped: false, Program.HasExited: true }))
            Replace(slot);
    }

    /// <summary>Stops those of a role, and all that were replaced.</summary>
    public async Task StopAsync(string role)
    {
        foreach (var slot in _slots.Where(slot => slot.Role == role))
            slot.IsStopped = true;
        var ending = _all.Where(program => !_slots.Any(slot => !slot.IsStopped && slot.Program == program)).ToList();
        foreach (var program in ending)
            Signals.TrySend(program.Id, Signals.Terminate);
        await Task.WhenAll(ending.Select(static program => program.ExitAsync())).WaitAsync(StopPatience);
    }

    /// <summary>What those of a role do, for a message: their latest output, newest first, and where Java's main thread is.</summary>
    public async Task<string> DescribeAsync(string role)
    {
        var (newest, said) = (new List<string>(), new List<string>());
        foreach (var slot in _slots.Where(slot => slot.Role == role))
        {
            var program = slot.Program!;
            var name = $"{slot.Name}, process {program.Id}{(program.HasExited ? ", has ended" : "")}";
            newest.Add($"{name}: {string.Join(" | ", Latest(slot.Name, isLog: false).Take(LinesInShort))}");
            said.Add($"{name}, said, newest first:\n"
                + string.Join('\n', Latest(slot.Name, isLog: false).Concat(Latest(slot.Name, isLog: true))));
            if (slot.IsJava && !program.HasExited)
            {
                var threads = await ClientProgram.RunAsync(ClientProgram.Require("jstack"), [$"{program.Id}"]);
                said.Add(string.Join('\n', threads.Split('\n')
                    .SkipWhile(static line => !line.StartsWith("\"main\"", StringComparison.Ordinal))
                    .TakeWhile(static line => line.Length > 0)));
            }
            said.Add(await ClientProgram.JavaAsync("org.apache.kafka.tools.TransactionsCommand",
                ["--bootstrap-server", servers, "describe", "--transactional-id", slot.TransactionalId]));
        }
        return string.Join('\n', newest.Concat(said));
    }

    private string[] Latest(string name, bool isLog)
    {
        var lines = _latest.GetOrAdd((name, isLog), static _ => new());
        lock (lines)
            return [.. lines.Reverse()];
    }

    public async ValueTask DisposeAsync()
    {
        if (_administrator is not null)
            await _administrator.DisposeAsync();
        foreach (var program in _all)
            await program.DisposeAsync();
    }

    /// <summary>Reads all committed records by Apache Kafka's client, as events of the reader.</summary>
    public async Task ScanAsync(string reader)
    {
        await using var program = new StartedProgram(ClientProgram.Require("java"),
            Java("scan", servers, reader, $"{TransactionRun.Partitions}"), line => Hear(reader, line));
        Assert.True(await program.ExitAsync().WaitAsync(StopPatience) == 0, program.Said());
    }

    private async Task ResumeAsync(int process, TimeSpan after)
    {
        await Task.Delay(after);
        Signals.TrySend(process, Signals.Continue);
    }

    private void Replace(Slot slot)
    {
        var name = $"{slot.TransactionalId}-{++_started}";
        var id = slot.TransactionalId;
        slot.Name = name;
        slot.Program = slot.IsJava
            ? new StartedProgram(ClientProgram.Require("java"), Java(slot.Role, servers, id, name,
                $"{seed + _started}", $"{TransactionRun.Partitions}"), line => Hear(name, line))
            : new StartedProgram(Programs.DotNet, [typeof(TransactionFleet).Assembly.Location, TransactionProgram.Argument,
                JsonSerializer.Serialize(new TransactionOrder(slot.Role, servers, id, name, seed + _started))], line => Hear(name, line),
                Peers);
        _all.Add(slot.Program);
    }

    private void Hear(string name, string line)
    {
        if (TransactionEvent.Parse(line) is { } seen)
            take(seen);
        // All of it, so that a history can be read and judged again.
        log.Note($"{name}: {line}");
        var lines = _latest.GetOrAdd((name, line.StartsWith(TransactionProgram.LogMark, StringComparison.Ordinal)), static _ => new());
        lock (lines)
        {
            lines.Enqueue(line);
            if (lines.Count > LinesTold)
                lines.Dequeue();
        }
    }

    private void Tell(string what, string kind)
    {
        log.Note(what);
        _faults[kind] = _faults.GetValueOrDefault(kind) + 1;
    }

    private static async Task<bool> TryDelayAsync(TimeSpan length, CancellationToken time)
    {
        await Task.Delay(length, time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return !time.IsCancellationRequested;
    }

    private string[] Java(params string[] arguments) => ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp",
        $"{classes}:{Path.Combine(ClientProgram.RequireKafka(), "*")}", "TransactionClient", .. arguments];

    private static string JavaSource([CallerFilePath] string path = "") =>
        Path.Combine(Path.GetDirectoryName(path)!, "TransactionClient.java");

    private sealed record Slot(string Role, bool IsJava)
    {
        public string TransactionalId => $"{Role}-{(IsJava ? "java" : "librdkafka")}";
        public StartedProgram? Program { get; set; }
        public string Name { get; set; } = "";
        public bool IsStopped { get; set; }
    }
}
