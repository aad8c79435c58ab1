using System.Globalization;
using System.Runtime.InteropServices;
using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Results;
using OrleansMq.Tests.Benchmarks.Peers.Works;

namespace OrleansMq.Tests.Benchmarks.Peers;

/// <summary>The subcommand <c>peers</c>.</summary>
internal static class PeersCommand
{
    private const string Usage = """
        peers    runs OrleansMq and its peers alternately on the same work, and writes peers.md and peers.json
          --pairs 5          pairs of each comparison; --short runs one pair with a quarter of the records
          --only NAME,...    comparisons of that name, or else those whose names start with it; --list shows all names
          --against NAME     only this peer: kafka, rocketmq, rabbitmq, nats, redis, disk, itself;
                             or the OrleansMq.Silo.dll of another build of OrleansMq
          --broker FILE      the broker: OrleansMq.Silo.dll or a published executable; by default the one built with this program
          --cluster DIR      the folder artifacts/cluster/bin of a build with Orleans, for three nodes; by default the repository's
          --out DIR          the directory of peers.md and peers.json; by default that of --dir
          --hold-memory      touches all free memory once and keeps a page of each 128 KiB until the end (Linux, root). A virtual machine
                             may return free memory to its host, and the next touch of such a page takes longer than anything measured.
                             Takes about a minute for 20 GB
          --dir artifacts    a directory on the disk to be measured; each broker gets a new directory in it
        The environment variable OMQ_PEERS names the folder with the script 'peer', which finds the peers.
        """;

    // Enough to warm up run-time compilers; a shorter run would measure them.
    private const double ShortScale = 0.25;

    public static async Task<int> RunAsync(string[] words)
    {
        if (words.Any(word => word is "--help" or "-h"))
        {
            Console.WriteLine(Usage);
            return 0;
        }
        var arguments = new CommandArguments(words);
        try
        {
            arguments.RefuseOthersThan(Usage);
        }
        catch (FormatException wrong)
        {
            Console.Error.WriteLine($"peers: {wrong.Message}");
            return 2;
        }
        if (arguments.Has("--hold-memory") && HeldMemory.Lacks is { } lacks)
        {
            Console.Error.WriteLine($"peers: --hold-memory: {lacks}.");
            return 2;
        }
        var chosen = Choose(arguments).ToList();
        if (chosen.Count == 0)
        {
            Console.Error.WriteLine("peers: unknown comparison or peer: see --list.");
            return 2;
        }
        if (arguments.Has("--list"))
        {
            foreach (var comparison in chosen)
                Console.WriteLine($"{comparison.Name,-28} {comparison.Theirs.Broker.Name,-20} {comparison.About}");
            return 0;
        }
        using var stop = new CancellationTokenSource();
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
        return await RunAsync(chosen, arguments, stop.Token);

        void Stop(PosixSignalContext context)
        {
            context.Cancel = true;
            stop.Cancel();
        }
    }

    private static IEnumerable<Comparison> Choose(CommandArguments arguments)
    {
        var cluster = arguments.Text("--cluster") ?? Path.Combine(AppContext.BaseDirectory, "..", "..", "..", "..", "cluster", "bin");
        var ours = new OrleansMqBroker("OrleansMq", Path.GetFullPath(arguments.Text("--broker") ?? Built()), Path.GetFullPath(cluster));
        var against = arguments.Text("--against");
        var only = arguments.Text("--only")?.Split(',');
        var all = against is not null && against.EndsWith(".dll", StringComparison.Ordinal)
            ? KafkaComparisons.All(ours,
                new OrleansMqBroker("OrleansMq, the other build", Path.GetFullPath(against), Path.GetFullPath(cluster)), against)
            : KafkaComparisons.All(ours, new KafkaBroker(), "kafka").Concat(OtherComparisons.All(ours));
        return Pick([.. all.Where(comparison => against is null || comparison.Peer == against)], only);
    }

    private static IEnumerable<Comparison> Pick(List<Comparison> all, string[]? only) => only is null ? all : all.Where(comparison =>
        only.Any(wanted => comparison.Name == wanted
            || (all.TrueForAll(other => other.Name != wanted) && comparison.Name.StartsWith(wanted, StringComparison.Ordinal))));

    private static string Built() => Path.Combine(AppContext.BaseDirectory, "..", "..", "OrleansMq.Silo", "release", "OrleansMq.Silo.dll");

    private static async Task<int> RunAsync(List<Comparison> chosen, CommandArguments arguments, CancellationToken cancellationToken)
    {
        var isShort = arguments.Has("--short");
        var directory = arguments.Directory("peers");
        var otherLoad = OtherLoad();
        using var memory = arguments.Has("--hold-memory") ? new HeldMemory() : null;
        var runner = new ComparisonRunner(directory, isShort ? ShortScale : 1, Console.WriteLine);
        var results = new List<ComparisonResult>();
        var folder = Path.GetFullPath(arguments.Text("--out") ?? Path.GetDirectoryName(directory)!);
        try
        {
            if (memory is not null)
            {
                memory.Take(cancellationToken);
                Console.WriteLine($"Free memory is held by {memory.Pages:N0} pages of it.");
                otherLoad += ", free memory held";
            }
            foreach (var comparison in chosen)
            {
                if (comparison.Ours.Lacks is { } ours)
                {
                    Console.WriteLine($"{comparison.Name} is left out, for ours: {ours}.");
                }
                else if (comparison.Theirs.Lacks is { } theirs)
                {
                    Console.WriteLine($"{comparison.Name} is left out, for {comparison.Theirs.Broker.Name}: {theirs}.");
                }
                else
                {
                    results.Add(await runner.RunAsync(comparison, arguments.Number("--pairs", isShort ? 1 : 5), cancellationToken));
                    // After each comparison, since all of them take hours.
                    Write(results, otherLoad, folder);
                }
            }
            Console.WriteLine(ResultTable.Write(results));
            if (results.Count > 0)
                Console.WriteLine($"Written to {folder}: peers.md, peers.json.");
        }
        catch (OperationCanceledException)
        {
            Console.WriteLine("Interrupted: all started programs are stopped and their directories deleted.");
            return 130;
        }
        catch (IOException failure)
        {
            Console.Error.WriteLine($"peers: {failure.Message}");
            return 1;
        }
        finally
        {
            if (Directory.Exists(directory))
                Directory.Delete(directory, recursive: true);
        }
        return results.Count == 0 || results.Any(result => result.Failures.Count > 0) ? 1 : 0;
    }

    // The other load of the machine: times from a busy machine are upper bounds.
    private static string OtherLoad() => File.Exists("/proc/loadavg")
        ? $"load {File.ReadAllText("/proc/loadavg").Split(' ')[0]} before the first run" : "the other load is unknown";

    private static void Write(List<ComparisonResult> results, string otherLoad, string folder)
    {
        Directory.CreateDirectory(folder);
        var when = TimeProvider.System.GetUtcNow();
        File.WriteAllText(Path.Combine(folder, "peers.md"), string.Create(CultureInfo.InvariantCulture,
            $"{when:yyyy-MM-dd HH:mm} UTC, {Environment.ProcessorCount} processors, {RuntimeInformation.OSDescription}, "
            + $"{otherLoad}.\n\n{ResultTable.Write(results)}"));
        File.WriteAllText(Path.Combine(folder, "peers.json"), ResultJson.Write(when, otherLoad, results));
    }
}
