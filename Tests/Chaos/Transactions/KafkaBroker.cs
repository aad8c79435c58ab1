using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Tests.Chaos.Faults;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Chaos.Transactions;

/// <summary>One broker of Apache Kafka, behind a proxy that holds requests back. It is paused, but never killed.</summary>
internal sealed class KafkaBroker : IBrokersUnderTest
{
    // The distance from the clients' port to the controller's.
    private const int ControllerPort = 1001;

    private readonly string _peer;
    private readonly string _directory;
    private readonly RunLog _log;
    private readonly KafkaProxy _proxy;
    private int _pauses;

    private KafkaBroker(string peer, string directory, RunLog log, KafkaProxy proxy) =>
        (_peer, _directory, _log, _proxy) = (peer, directory, log, proxy);

    /// <summary>Starts it. Returns when it serves.</summary>
    /// <param name="directory">The directory of its data.</param>
    /// <param name="log">Receives what is done to it.</param>
    /// <param name="delayOf">How long a request is held, by its API key and version.</param>
    public static async Task<IBrokersUnderTest> StartAsync(string directory, RunLog log, Func<short, short, TimeSpan> delayOf)
    {
        var peer = Path.Combine(Path.GetDirectoryName(ClientProgram.RequireKafka())!, "peer");
        Skip.IfNot(File.Exists(peer), $"There is no {peer}.");
        Directory.CreateDirectory(directory);
        var port = FreePort.Choose(ControllerPort);
        var broker = new KafkaBroker(peer, directory, log, new KafkaProxy(port, delayOf));
        // What a program leaves running keeps its output open, so it goes to a file.
        await ClientProgram.RunAsync(ClientProgram.Require("bash"), ["-c", "exec \"$@\" >\"$0\" 2>&1",
            Path.Combine(directory, "start"), peer, "start", "kafka",
            directory, $"{port}", "1", $"advertised.listeners=PLAINTEXT://{broker.Servers}",
            "group.initial.rebalance.delay.ms=0"]);
        return broker;
    }

    public string Servers => _proxy.Address;

    public short Replicas => 1;

    public ITransactionCoordinator? Transactions => null;

    public string Faults => string.Create(CultureInfo.InvariantCulture, $"{_pauses} {FaultKind.PauseLeader}");

    public async Task BreakAsync(int seed, CancellationToken time, CancellationToken cancellationToken)
    {
        var process = int.Parse(File.ReadLines(Path.Combine(_directory, "pids")).First().Split(' ')[^1], CultureInfo.InvariantCulture);
        foreach (var fault in FaultPlan.From(seed, new Dictionary<FaultKind, int> { [FaultKind.PauseLeader] = 1 }))
        {
            await Task.Delay(fault.Before * 2, time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (time.IsCancellationRequested)
                return;
            _log.Tell($"{fault}");
            _pauses++;
            Signals.TrySend(process, Signals.Stop);
            await Task.Delay(fault.Lasts, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            Signals.TrySend(process, Signals.Continue);
        }
    }

    public Task WellAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        await ClientProgram.RunAsync(_peer, ["stop", _directory]);
        await _proxy.DisposeAsync();
    }
}
