using System.Text.Json;
using OrleansMq.Tests.Chaos.Faults;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Runs;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Chaos.Transactions.Copiers;

/// <summary>Brokers of which one at a time is broken.</summary>
internal interface ICopierBrokers : IAsyncDisposable
{
    /// <summary>The addresses for Kafka's clients.</summary>
    string Servers { get; }

    /// <summary>The number of each partition's replicas.</summary>
    short Replicas { get; }

    /// <summary>Breaks one broker and returns when it serves again.</summary>
    Task BreakAsync(CopierFault fault, int choice, CancellationToken cancellationToken);
}

/// <summary>What happens to a process.</summary>
internal enum CopierFault
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>SIGKILL.</summary>
    Kill,
    /// <summary>SIGTERM.</summary>
    Stop,
    /// <summary>SIGSTOP, then SIGCONT.</summary>
    Pause,
}

/// <summary>A cluster as a user starts it.</summary>
internal sealed class CopierCluster : ICopierBrokers
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private readonly LocalCluster _cluster;
    private readonly FaultInjector _injector;
    private readonly ClusterClient _client;

    private CopierCluster(LocalCluster cluster)
    {
        (_cluster, _injector) = (cluster, new FaultInjector(cluster));
        _client = new ClusterClient(cluster.Addresses, TimeSpan.FromSeconds(4));
    }

    /// <summary>Starts three silos; null if the machine has no PostgreSQL.</summary>
    public static async Task<ICopierBrokers?> StartAsync(string data, RunLog log) =>
        await LocalCluster.StartAsync(data, silos: 3, log) is { } cluster ? new CopierCluster(cluster) : null;

    public string Servers => string.Join(',', _cluster.Silos.Select(static silo => silo.Kafka));

    public short Replicas => 3;

    public async Task BreakAsync(CopierFault fault, int choice, CancellationToken cancellationToken)
    {
        var view = new ClusterView(_client.Broker, CopierRun.Topics[choice % CopierRun.Topics.Count], Replicas);
        var partitions = await view.WellAsync(Patience, cancellationToken);
        var kind = fault switch
        {
            CopierFault.Kill => FaultKind.KillLeader,
            CopierFault.Stop => FaultKind.StopLeader,
            _ => FaultKind.PauseLeader,
        };
        await _injector.InjectAsync(new PlannedFault(kind, TimeSpan.Zero, TimeSpan.FromSeconds(5), choice, WaitsForRecovery: true),
            partitions, isWell: true, cancellationToken);
        await view.WellAsync(Patience, cancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await _cluster.DisposeAsync();
    }
}

/// <summary>One broker without a database. When it ends it is started again at once.</summary>
internal sealed class CopierBroker : ICopierBrokers
{
    private readonly string[] _flags;
    private readonly RunLog _log;
    private StartedProgram _program = null!;
    private TaskCompletionSource _isServing = null!;

    private CopierBroker(string data, RunLog log)
    {
        Servers = $"127.0.0.1:{FreePort.Choose()}";
        _log = log;
        _flags = [Programs.Silo, "--json", "--flavour", "standalone", "--data", data, "--http", $"127.0.0.1:{FreePort.Choose()}", "--kafka",
            Servers, "--min-free-bytes", "33554432"];
    }

    /// <summary>Starts it.</summary>
    public static async Task<ICopierBrokers?> StartAsync(string data, RunLog log)
    {
        var broker = new CopierBroker(data, log);
        await broker.StartAsync();
        return broker;
    }

    public string Servers { get; }

    public short Replicas => 1;

    public async Task BreakAsync(CopierFault fault, int choice, CancellationToken cancellationToken)
    {
        if (fault == CopierFault.Pause)
        {
            Signals.TrySend(_program.Id, Signals.Stop);
            await Task.Delay(TimeSpan.FromSeconds(5), cancellationToken);
            Signals.TrySend(_program.Id, Signals.Continue);
            return;
        }
        Signals.TrySend(_program.Id, fault == CopierFault.Kill ? Signals.Kill : Signals.Terminate);
        await _program.ExitAsync().WaitAsync(RunningCluster.StartPatience, cancellationToken);
        await _program.DisposeAsync();
        await StartAsync();
    }

    public ValueTask DisposeAsync() => _program.DisposeAsync();

    private async Task StartAsync()
    {
        _isServing = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _program = new StartedProgram(Programs.DotNet, _flags, Hear);
        await _isServing.Task.WaitAsync(RunningCluster.StartPatience);
    }

    private void Hear(string line)
    {
        _log.Note($"broker| {line}");
        if (!line.StartsWith('{'))
            return;
        using var said = JsonDocument.Parse(line);
        if (said.RootElement.TryGetProperty("http", out _))
            _isServing.TrySetResult();
    }
}
