using OrleansMq.Tests.Benchmarks.Peers.Brokers;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Benchmarks.Peers.Results;
using OrleansMq.Tests.Benchmarks.Peers.Works;

namespace OrleansMq.Tests.Benchmarks.Peers;

/// <summary>Runs comparisons: both contenders alternate, each started in a new directory on the same disk, and stopped.</summary>
/// <param name="directory">The parent of the new directories; existing files are kept.</param>
/// <param name="scale">The scale of the works: at most 1.</param>
/// <param name="tell">Called with the result of each run.</param>
internal sealed class ComparisonRunner(string directory, double scale, Action<string> tell)
{
    // Lets the broker's work right after its ready message finish.
    private static readonly TimeSpan SettleTime = TimeSpan.FromSeconds(2);
    private int _runs;

    /// <summary>Runs that many pairs. A pair with a failed run is reported, and the next pair runs.</summary>
    public async Task<ComparisonResult> RunAsync(Comparison comparison, int pairs, CancellationToken cancellationToken)
    {
        var results = new List<PairResult>();
        var failures = new List<string>();
        for (var pair = 1; pair <= pairs; pair++)
        {
            var ours = await TryAsync(comparison.Ours, pair, failures, cancellationToken);
            var theirs = await TryAsync(comparison.Theirs, pair, failures, cancellationToken);
            if (ours is not null && theirs is not null)
                results.Add(new PairResult(ours, theirs));
        }
        return new ComparisonResult(comparison, results, failures);

        async Task<IReadOnlyList<Measurement>?> TryAsync(Contender contender, int pair, List<string> failed, CancellationToken cancellation)
        {
            try
            {
                var measurements = await RunOnceAsync(contender, cancellation);
                foreach (var measurement in measurements)
                    tell($"{comparison.Name} {pair}/{pairs} {contender.Broker.Name}: {measurement.Step}: {Describe(measurement)}");
                return measurements;
            }
            catch (Exception failure)
                when (failure is PeerFailedException or LoadFailedException or System.Net.Sockets.SocketException or IOException)
            {
                // Broken connections of an interrupted run are irrelevant.
                cancellation.ThrowIfCancellationRequested();
                tell($"{comparison.Name} {pair}/{pairs} {contender.Broker.Name} FAILED: {failure.Message}");
                failed.Add($"Pair {pair}, {contender.Broker.Name}: {failure.Message.ReplaceLineEndings(" ")}");
                return null;
            }
        }
    }

    private async Task<IReadOnlyList<Measurement>> RunOnceAsync(Contender contender, CancellationToken cancellationToken)
    {
        var fresh = Directory.CreateDirectory(Path.Combine(directory, $"run-{++_runs}")).FullName;
        try
        {
            await using var broker = await contender.Broker.StartAsync(contender.Work.Settings, fresh, cancellationToken);
            await Task.Delay(SettleTime, cancellationToken);
            var idle = ProcessFigures.Memory(broker.Processes);
            var measurements = await contender.Work.RunAsync(broker, scale, cancellationToken);
            return
            [
                .. measurements, new Measurement("the process", new Dictionary<Figure, double>
                {
                    [Figure.StartMs] = broker.StartTime.TotalMilliseconds,
                    [Figure.IdleMemory] = idle / 1e6,
                    [Figure.MemoryAfterwards] = ProcessFigures.MemoryOfItsOwn(broker.Processes) / 1e6,
                    [Figure.PeakMemory] = ProcessFigures.PeakMemory(broker.Processes) / 1e6,
                    [Figure.DiskMegabytes] = await ProcessFigures.DiskBytesAsync(fresh, cancellationToken) / 1e6,
                }),
            ];
        }
        finally
        {
            await DeleteAsync(fresh);
        }
    }

    // A killed process may have written a file between the listing and the deletion.
    private static async Task DeleteAsync(string path)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                Directory.Delete(path, recursive: true);
                return;
            }
            catch (IOException) when (attempt < 50)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(100));
            }
        }
    }

    private static string Describe(Measurement measurement) => string.Join(", ", measurement.Figures.Select(pair =>
        $"{pair.Value.ToString(pair.Key.Format, System.Globalization.CultureInfo.InvariantCulture)} {pair.Key.Heading}"));
}
