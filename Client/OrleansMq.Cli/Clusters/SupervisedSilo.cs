using System.Globalization;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Clusters;

/// <summary>The parameters with which a silo of a local cluster is started.</summary>
/// <param name="Entry">Its entry in the roster.</param>
/// <param name="ClusterId">The cluster's name in the database.</param>
/// <param name="Postgres">The database's connection string.</param>
/// <param name="Data">Its data directory.</param>
/// <param name="Log">Its log file.</param>
/// <param name="Program">The broker program.</param>
/// <param name="MoreFlags">Additional flags for all brokers, from the command line.</param>
internal sealed record SiloSpec(RosterEntry Entry, string ClusterId, string Postgres, string Data, string Log,
    IReadOnlyList<string> Program, IReadOnlyList<string> MoreFlags)
{
    /// <summary>Whether it serves AMQP.</summary>
    public bool ServesAmqp { get; init; }

    /// <summary>The cluster's certificates; null for a cluster that is not secured.</summary>
    public LocalSecurity? Security { get; init; }
}

/// <summary>A silo of a local cluster, across the restarts of its process.</summary>
internal sealed class SupervisedSilo(SiloSpec spec, ClusterEvents events, bool restart) : IDisposable
{
    // A silo is ready in seconds. Recovery of a large directory on a busy machine may take minutes.
    private static readonly TimeSpan StartTimeout = TimeSpan.FromMinutes(5);

    // Longer than the broker's own limit for requests in flight (10 s), after which it must be hanging. It fits within the time that the
    // program has to end.
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(20);

    // The exit code of a broker whose port is taken.
    private const int PortTakenCode = 4;

    // A race for a free port is lost now and then. After more losses in a row, a configured port must be taken.
    private const int MostLostPorts = 5;

    private readonly TaskCompletionSource<BrokerLine> _firstReady = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _stop = new();
    private volatile BrokerLine? _last;
    private volatile BrokerLine? _lastServing;

    /// <summary>The broker id.</summary>
    public int BrokerId => spec.Entry.BrokerId;

    /// <summary>The addresses at which it was ready last; null if it never was.</summary>
    public BrokerLine? Last => _lastServing;

    /// <summary>Requests a clean shutdown; <see cref="RunAsync"/> completes when it has ended.</summary>
    public Task StopAsync() => _stop.CancelAsync();

    /// <inheritdoc/>
    public void Dispose() => _stop.Dispose();

    /// <summary>Completes when it is ready for the first time; fails if that start failed.</summary>
    public Task<BrokerLine> FirstReady => _firstReady.Task;

    /// <summary>Runs the silo until it exits unexpectedly (and is not restarted) or is stopped.</summary>
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
                // Another process took one of its free ports first.
                _last = null;
                events.Ended(new EndedLine(BrokerId, process.Id, exitCode, Restarting: true));
                continue;
            }
            if (!serves && !_firstReady.Task.IsCompleted)
            {
                _firstReady.SetException(CommandFailedException.Refused(
                    $"Broker {BrokerId} did not start (exit code {exitCode}): {process.LastLines()} Its log is {spec.Log}."));
                return;
            }
            events.Ended(new EndedLine(BrokerId, process.Id, exitCode, restart));
            if (!restart)
                return;
            // The likeliest reason is that a port was taken in the meantime: choose other ports.
            if (!serves)
                _last = null;
            await Task.Delay(RestartBackoff.After(failedStarts), stop)
                .ContinueWith(static _ => { }, TaskScheduler.Default).ConfigureAwait(false);
        }
        _firstReady.TrySetCanceled(CancellationToken.None);
    }

    /// <summary>Waits until it is ready, and reports that. Returns false if it ended before or is to be stopped.</summary>
    private async Task<bool> StartAsync(SiloProcess process, CancellationToken stop)
    {
        try
        {
            if (await process.Ready.WaitAsync(StartTimeout, stop).ConfigureAwait(false) is not { } ready)
                return false;
            var line = new BrokerLine(BrokerId, process.Id, ready.Http, ready.Kafka, ready.Orleans, ready.Gateway, spec.Entry.Rack,
                spec.Data, spec.Log) { Amqp = ready.Amqp };
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

    /// <summary>Waits for its end. On a stop request, shuts it down and returns false.</summary>
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
            // A process that does not end in time is killed on dispose.
            await Task.WhenAny(process.Ended, Task.Delay(StopTimeout, CancellationToken.None)).ConfigureAwait(false);
            return false;
        }
    }

    private IEnumerable<string> Flags() =>
    [
        "--json", "--flavour", "cluster", "--cluster-id", spec.ClusterId, "--broker-id", BrokerId.ToString(CultureInfo.InvariantCulture),
        "--data", spec.Data, "--http", $"{Scheme("https")}127.0.0.1:{PortOf(_last?.Http)}",
        "--kafka", $"127.0.0.1:{PortOf(_last?.Kafka)}{(spec.Security is null ? "" : ",SASL_SSL")}",
        "--orleans-port", PortOf(_last?.Orleans), "--gateway-port", PortOf(_last?.Gateway),
        .. spec.Entry.Rack is { } rack ? (string[])["--rack", rack] : [],
        .. spec.ServesAmqp ? (string[])["--amqp", $"{Scheme("amqps")}127.0.0.1:{PortOf(_last?.Amqp)}"] : [],
        .. spec.Security is { } security ? Secured(security) : [],
    ];

    // A new certificate with each start: the former one may have ended.
    private string[] Secured(LocalSecurity security)
    {
        var certificate = security.CertificateOf(BrokerId);
        return ["--tls-certificate", certificate, "--cluster-tls-certificate", certificate,
            "--cluster-tls-ca", security.AuthorityFile];
    }

    private string Scheme(string scheme) => spec.Security is null ? "" : scheme + "://";

    // In the environment, since command lines are visible to all users of a machine.
    private Dictionary<string, string?> Environment()
    {
        // A broker refuses a value beside the file with it, so inherited variables that name files are removed.
        var environment = new Dictionary<string, string?>
        {
            ["OMQ_POSTGRES"] = spec.Postgres,
            ["OMQ_POSTGRES_FILE"] = null,
            [BrokerProgram.Variable] = null,
        };
        if (spec.Security is { } security)
        {
            environment["OMQ_ADMIN_PASSWORD"] = security.Password;
            environment["OMQ_ADMIN_PASSWORD_FILE"] = null;
        }
        return environment;
    }

    /// <summary>A silo restarts on its previous ports, so that published addresses stay valid; 0 selects a free port.</summary>
    private static string PortOf(string? endpoint) => endpoint is null ? "0" : endpoint[(endpoint.LastIndexOf(':') + 1)..].TrimEnd('/');
}
