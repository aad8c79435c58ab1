using System.Globalization;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Clusters;

/// <summary>What a silo of a local cluster is started with.</summary>
/// <param name="Entry">Its place in the roster.</param>
/// <param name="ClusterId">The cluster's name in the database.</param>
/// <param name="Postgres">The database.</param>
/// <param name="Data">Its data directory.</param>
/// <param name="Log">Where its log goes.</param>
/// <param name="Program">The broker program.</param>
/// <param name="MoreFlags">Flags the user gave for all brokers.</param>
internal sealed record SiloSpec(RosterEntry Entry, string ClusterId, string Postgres, string Data, string Log,
    IReadOnlyList<string> Program, IReadOnlyList<string> MoreFlags);

/// <summary>A silo of a local cluster, over all the processes it has one after the other.</summary>
internal sealed class SupervisedSilo(SiloSpec spec, ClusterEvents events, bool restart) : IDisposable
{
    // A silo is ready in seconds; recovery of a large directory on a busy machine may take minutes.
    private static readonly TimeSpan StartTimeout = TimeSpan.FromMinutes(5);

    // Beyond the broker's own time for requests in flight (10 s): then something hangs. All of it within the time the program has to end.
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(20);

    // By which a broker says that another process has a port that it was to listen on.
    private const int PortTakenCode = 4;

    // A race for a free port is lost once in a while; whoever loses it more often has been given a port that is taken.
    private const int MostLostPorts = 5;

    private readonly TaskCompletionSource<BrokerLine> _firstReady = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _stop = new();
    private volatile BrokerLine? _last;
    private volatile BrokerLine? _lastServing;

    /// <summary>Its broker id.</summary>
    public int BrokerId => spec.Entry.BrokerId;

    /// <summary>Where it served last; null where it never did.</summary>
    public BrokerLine? Last => _lastServing;

    /// <summary>Asks it to end in order; <see cref="RunAsync"/> completes when it has.</summary>
    public Task StopAsync() => _stop.CancelAsync();

    /// <inheritdoc/>
    public void Dispose() => _stop.Dispose();

    /// <summary>Completes when it serves for the first time; fails where that start failed.</summary>
    public Task<BrokerLine> FirstReady => _firstReady.Task;

    /// <summary>Runs it until it ended by itself (and is not to be restarted), or was stopped.</summary>
    public async Task RunAsync()
    {
        var stop = _stop.Token;
        for (var (failedStarts, lostPorts) = (0, 0); !stop.IsCancellationRequested;)
        {
            await using var process = SiloProcess.Start([.. spec.Program, .. Flags(), .. spec.MoreFlags], Environment(), spec.Log);
            var serves = await StartAsync(process, stop).ConfigureAwait(false);
            failedStarts = serves ? 0 : failedStarts + 1;
            if (!await EndedByItselfAsync(process, stop).ConfigureAwait(false))
                break;
            var exitCode = await process.Ended.ConfigureAwait(false);
            if (!serves && exitCode == PortTakenCode && lostPorts++ < MostLostPorts)
            {
                // It had chosen free ones, and another process was faster.
                _last = null;
                events.Ended(new EndedLine(BrokerId, process.Id, exitCode, Restarting: true));
                continue;
            }
            if (!serves && !_firstReady.Task.IsCompleted)
            {
                _firstReady.SetException(CommandFailedException.Refused(
                    $"Broker {BrokerId} did not start (exit code {exitCode}): {process.LastLines()} All it said is in {spec.Log}."));
                return;
            }
            events.Ended(new EndedLine(BrokerId, process.Id, exitCode, restart));
            if (!restart)
                return;
            // A port that was taken meanwhile is the likeliest reason: other ones, then.
            if (!serves)
                _last = null;
            await Task.Delay(RestartBackoff.After(failedStarts), stop)
                .ContinueWith(static _ => { }, TaskScheduler.Default).ConfigureAwait(false);
        }
        _firstReady.TrySetCanceled(CancellationToken.None);
    }

    /// <summary>Waits until it serves, and says so. False where it ended before, or is to stop.</summary>
    private async Task<bool> StartAsync(SiloProcess process, CancellationToken stop)
    {
        try
        {
            if (await process.Ready.WaitAsync(StartTimeout, stop).ConfigureAwait(false) is not { } ready)
                return false;
            var line = new BrokerLine(BrokerId, process.Id, ready.Http, ready.Kafka, ready.Orleans, ready.Gateway, spec.Entry.Rack,
                spec.Data, spec.Log);
            _lastServing = _last = line;
            events.BrokerReady(line);
            _firstReady.TrySetResult(line);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
        catch (TimeoutException)
        {
            process.Kill();
            return false;
        }
    }

    /// <summary>Waits for its end; where it is to stop, ends it in order and returns false.</summary>
    private static async Task<bool> EndedByItselfAsync(SiloProcess process, CancellationToken stop)
    {
        try
        {
            await process.Ended.WaitAsync(stop).ConfigureAwait(false);
            return true;
        }
        catch (OperationCanceledException)
        {
            process.Terminate();
            // Who does not end in time is killed by being disposed.
            await Task.WhenAny(process.Ended, Task.Delay(StopTimeout, CancellationToken.None)).ConfigureAwait(false);
            return false;
        }
    }

    private IEnumerable<string> Flags() =>
    [
        "--json", "--flavour", "cluster", "--cluster-id", spec.ClusterId, "--broker-id", BrokerId.ToString(CultureInfo.InvariantCulture),
        "--data", spec.Data, "--http", $"127.0.0.1:{PortOf(_last?.Http)}", "--kafka", $"127.0.0.1:{PortOf(_last?.Kafka)}",
        "--orleans-port", PortOf(_last?.Orleans), "--gateway-port", PortOf(_last?.Gateway),
        .. spec.Entry.Rack is { } rack ? (string[])["--rack", rack] : [],
    ];

    // In the environment, since everybody may read the command lines of a machine.
    private Dictionary<string, string?> Environment() => new() { ["OMQ_POSTGRES"] = spec.Postgres, [BrokerProgram.Variable] = null };

    /// <summary>A silo that comes back listens where it did, so that addresses people hold stay right; 0 takes a free port.</summary>
    private static string PortOf(string? endpoint) => endpoint is null ? "0" : endpoint[(endpoint.LastIndexOf(':') + 1)..].TrimEnd('/');
}
