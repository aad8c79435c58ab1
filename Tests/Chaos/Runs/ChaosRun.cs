using System.Globalization;
using System.Text;
using OrleansMq.Client;
using OrleansMq.Tests.Chaos.Faults;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Runs;

/// <summary>A cluster under load and repeated faults, checked at the end against everything it acknowledged.</summary>
internal sealed class ChaosRun : IDisposable
{
    // A replica that was down for seconds catches up within one; a busy machine gets much more.
    private static readonly TimeSpan RecoveryPatience = TimeSpan.FromSeconds(90);

    // The wait for one silo before the request goes to another: longer than a failover, shorter than a silo stays paused.
    private static readonly TimeSpan RequestTimeout = TimeSpan.FromSeconds(4);

    private readonly RunningCluster _cluster;
    private readonly FaultInjector _injector;
    private readonly ClusterClient _client;
    private readonly LoadOptions _options;
    private readonly HttpBroker _broker;
    private readonly ClusterView _view;
    private readonly int _seed;

    public ChaosRun(RunningCluster cluster, FaultInjector injector, LoadOptions options, int seed)
    {
        _client = new ClusterClient(cluster.Addresses, RequestTimeout);
        _cluster = cluster;
        _injector = injector;
        _options = options;
        _seed = seed;
        _broker = _client.Broker;
        _view = new ClusterView(_broker, options.Topic, options.ReplicationFactor);
        Load = new LoadRun(options, _broker, _client.Any, new Random(seed));
        Load.Violations.Found += violation => cluster.Log.Tell($"VIOLATION {violation}");
    }

    public LoadRun Load { get; }

    public ClusterView View => _view;

    /// <summary>The client of an administrator.</summary>
    public HttpBroker Administrator => _client.Patient;

    /// <summary>The latest errors of producers, probes and readers, for an error message.</summary>
    public string Story() => string.Join('\n', Load.Troubles.Take(8));

    /// <summary>Injects faults for a while, waits for recovery, and checks.</summary>
    /// <param name="faults">The faults, in order.</param>
    /// <param name="length">How long faults are injected.</param>
    /// <param name="finale">Runs under load after the last fault; null for nothing.</param>
    /// <param name="cancellationToken">Cancels the run.</param>
    /// <returns>The figures, in one line.</returns>
    public async Task<string> RunAsync(IEnumerable<PlannedFault> faults, TimeSpan length, Func<CancellationToken, Task>? finale,
        CancellationToken cancellationToken)
    {
        await _client.Patient.CreateTopicAsync(_options.ToNewTopic(), cancellationToken);
        await _view.WellAsync(RecoveryPatience, cancellationToken);
        _cluster.Log.Tell($"seed {_seed}: load begins");
        Load.Start();
        await BreakAsync(faults, length, cancellationToken);
        _cluster.Log.Tell("calm");
        if (finale is not null)
            await finale(cancellationToken);
        await _view.WellAsync(RecoveryPatience, cancellationToken);
        await Load.StopAsync();
        _cluster.Log.Tell($"load ended: {Load.Ledger.Acknowledged} records acknowledged, {Load.Ledger.Unknown} of unknown outcome, "
            + $"{Load.RecordsFailed} failed, {Load.RecordsRead} read");
        foreach (var trouble in Load.Troubles)
            _cluster.Log.Note($"a late error: {trouble}");
        var same = await JudgeAsync(cancellationToken);
        var figures = Figures(same);
        _cluster.Log.Tell(figures);
        return figures;
    }

    public void Dispose() => _client.Dispose();

    private async Task BreakAsync(IEnumerable<PlannedFault> faults, TimeSpan length, CancellationToken cancellationToken)
    {
        using var time = new CancellationTokenSource(length);
        foreach (var fault in faults)
        {
            await Task.Delay(fault.Before, cancellationToken);
            if (time.IsCancellationRequested)
                return;
            var partitions = await _view.TryDescribeAsync(cancellationToken);
            if (partitions is null)
                continue;
            _cluster.Log.Tell($"{fault}; leaders {string.Join(',', partitions.Select(partition => partition.Leader))}, acknowledged "
                + $"{Load.Ledger.Acknowledged}");
            await _injector.InjectAsync(fault, partitions, _view.IsWell(partitions), cancellationToken);
            if (fault.WaitsForRecovery)
            {
                await _view.WellAsync(RecoveryPatience, cancellationToken);
                _cluster.Log.Tell("well again");
            }
        }
    }

    /// <summary>Reads everything back from the leaders, then compares the replicas' files.</summary>
    private async Task<long> JudgeAsync(CancellationToken cancellationToken)
    {
        var ends = await Load.ReadBackAsync(_broker, cancellationToken);
        var partitions = await _view.WellAsync(RecoveryPatience, cancellationToken);
        var same = 0L;
        foreach (var partition in partitions)
        {
            var replicas = partition.Replicas.Select(broker =>
                (broker, Path.Combine(_cluster[broker].Data, "logs", $"{_options.Topic}-{partition.Partition}"))).ToList();
            same += ReplicaComparison.Compare(partition.Partition, replicas, ends[partition.Partition], Load.Ledger,
                Load.Histories[partition.Partition], Load.Violations);
        }
        return same;
    }

    private string Figures(long same)
    {
        var text = new StringBuilder();
        var faults = string.Join(", ", _injector.Done.OrderBy(kind => kind.Key).Select(kind => $"{kind.Value} {kind.Key}"));
        text.Append(CultureInfo.InvariantCulture, $"figures: seed {_seed}; {_injector.Kills} kills, {_cluster.Evictions} evictions "
            + $"({faults}); {Load.Ledger.Acknowledged} records acknowledged, ");
        text.Append(CultureInfo.InvariantCulture,
            $"lost {Load.Violations.Count(ViolationKind.Lost)}, doubled {Load.Violations.Count(ViolationKind.Doubled)}; ");
        text.Append(CultureInfo.InvariantCulture, $"{same / 1e6:0.0} MB identical on all replicas; without a leader");
        foreach (var (kind, times) in Outages.Measure(_injector.Outages, Load.Probes).OrderBy(outage => outage.Key))
            text.Append(CultureInfo.InvariantCulture, $" {kind}: median {Outages.Median(times).TotalSeconds:0.000} s, longest "
                + $"{times[^1].TotalSeconds:0.000} s of {times.Count};");
        return text.ToString();
    }
}
