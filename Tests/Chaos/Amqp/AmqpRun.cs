using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using OrleansMq.Tests.Chaos.Faults;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Network;
using OrleansMq.Tests.Chaos.Runs;
using OrleansMq.Tests.Chaos.Verification;
using RabbitMQ.Client;

namespace OrleansMq.Tests.Chaos.Amqp;

/// <summary>AMQP queues under load while silos, links and clients are broken. At the end the queues must be empty, and what the clients saw
/// must be right.</summary>
internal sealed class AmqpRun(ProxiedCluster cluster, AmqpLoad load, int seed) : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private readonly ClusterClient _client = new(cluster.Addresses, TimeSpan.FromSeconds(4));
    private readonly NetworkFaultInjector _injector = new(cluster, disk: null);
    // What brokers refused for a reason that is no fault of the cluster's.
    private readonly ConcurrentQueue<string> _refusals = new();
    private int _clientFaults;

    public Violations Violations { get; } = new();

    /// <summary>Injects faults for a while, waits for recovery, and judges.</summary>
    /// <param name="weights">The relative frequency of each fault.</param>
    /// <param name="length">How long faults are injected.</param>
    /// <param name="cancellationToken">Cancels the run.</param>
    public async Task RunAsync(IReadOnlyDictionary<FaultKind, int> weights, TimeSpan length, CancellationToken cancellationToken)
    {
        Violations.Found += violation => cluster.Log.Tell($"VIOLATION {violation}");
        await DeclareAsync(cancellationToken);
        ClusterView[] views = [.. AmqpLoad.Queues.Select(queue => new ClusterView(_client.Broker, AmqpLoad.TopicOf(queue), 3))];
        await AllWellAsync(views, cancellationToken);

        var history = new AmqpHistory(Violations);
        var fleet = new AmqpFleet(cluster, load, history, _refusals.Enqueue);
        cluster.Log.Tell($"seed {seed}: load begins");
        fleet.Start();
        try
        {
            using (var time = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken))
            {
                time.CancelAfter(length);
                var clients = BreakClientsAsync(fleet, time.Token);
                await BreakSilosAsync(views, weights, history, time.Token, cancellationToken);
                await clients;
            }
            cluster.Log.Tell("calm");
            await AllWellAsync(views, cancellationToken);
        }
        finally
        {
            await fleet.StopPublishingAsync();
        }
        await AllSettledAsync(history, cancellationToken);
        await fleet.StopConsumingAsync();
        history.Judge();
        cluster.Log.Tell(Figures(history));
        Assert.Empty(_refusals);
        // Otherwise the run showed nothing.
        Assert.True(history is { Confirmed: > 0, Committed: > 0, Letters: > 0 }, Figures(history));
    }

    public void Dispose() => _client.Dispose();

    private static async Task AllWellAsync(IEnumerable<ClusterView> views, CancellationToken cancellationToken)
    {
        foreach (var view in views)
            await view.WellAsync(Patience, cancellationToken);
    }

    private Task DeclareAsync(CancellationToken cancellationToken) => OverAnyBrokerAsync("declares", async channel =>
    {
        foreach (var queue in AmqpLoad.Queues)
            await channel.QueueDeclareAsync(queue, durable: true, exclusive: false, autoDelete: false, AmqpLoad.ArgumentsOf(queue),
                cancellationToken: cancellationToken);
        return true;
    }, cancellationToken);

    // The messages that passive declarations count.
    private Task<long> CountAsync(CancellationToken cancellationToken) => OverAnyBrokerAsync("counts", async channel =>
    {
        var count = 0L;
        foreach (var queue in AmqpLoad.Queues)
            count += (await channel.QueueDeclarePassiveAsync(queue, cancellationToken)).MessageCount;
        return count;
    }, cancellationToken);

    // Repeats what has no effect the second time: a busy machine may not answer within the client's patience.
    private async Task<T> OverAnyBrokerAsync<T>(string name, Func<IChannel, Task<T>> call, CancellationToken cancellationToken)
    {
        var began = Stopwatch.StartNew();
        for (var attempt = 0; ; attempt++)
        {
            try
            {
                await using var link = await AmqpLink.OpenAsync(cluster.Silos[attempt % cluster.Silos.Count].Amqp!, name,
                    _refusals.Enqueue, cancellationToken);
                await using var channel = await link.OpenChannelAsync(confirms: false, cancellationToken);
                return await call(channel);
            }
            catch (Exception fault) when (AmqpLink.IsBroken(fault) && began.Elapsed < Patience
                && !cancellationToken.IsCancellationRequested)
            {
                cluster.Log.Note($"{name}: {fault.GetType().Name}: {fault.Message}");
            }
        }
    }

    // The leaders of the queues in turns.
    private async Task BreakSilosAsync(ClusterView[] views, IReadOnlyDictionary<FaultKind, int> weights, AmqpHistory history,
        CancellationToken time, CancellationToken cancellationToken)
    {
        foreach (var fault in FaultPlan.From(seed, weights))
        {
            if (!await TryDelayAsync(fault.Before, time))
                return;
            var view = views[fault.Choice % views.Length];
            if (await view.TryDescribeAsync(cancellationToken) is not { } partitions)
                continue;
            cluster.Log.Tell($"{fault}; leader {partitions[0].Leader} of {AmqpLoad.Queues[fault.Choice % views.Length]}, confirmed "
                + $"{history.Confirmed}, delivered {history.Delivered}");
            await _injector.InjectAsync(fault, partitions, view.IsWell(partitions), cancellationToken);
            if (fault.WaitsForRecovery)
                await AllWellAsync(views, cancellationToken);
        }
    }

    private async Task BreakClientsAsync(AmqpFleet fleet, CancellationToken time)
    {
        var random = new Random(seed);
        while (await TryDelayAsync(TimeSpan.FromSeconds(0.3 + (2 * random.NextDouble())), time))
        {
            _clientFaults++;
            fleet.BreakOne(random);
        }
    }

    private static async Task<bool> TryDelayAsync(TimeSpan time, CancellationToken cancellationToken)
    {
        await Task.Delay(time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return !cancellationToken.IsCancellationRequested;
    }

    /// <summary>Waits until the queues hold nothing, nor do their consumers.</summary>
    private async Task AllSettledAsync(AmqpHistory history, CancellationToken cancellationToken)
    {
        var (least, progress) = (long.MaxValue, Stopwatch.StartNew());
        while (true)
        {
            var left = await UnsettledAsync(cancellationToken);
            // What consumers hold is not counted by a passive declaration; the cursors count it.
            if (left == 0 && (left = await CountAsync(cancellationToken)) == 0)
                return;
            // A busy machine is slow, but goes on.
            if (left < least)
                (least, progress) = (left, Stopwatch.StartNew());
            Assert.False(progress.Elapsed > Patience, $"For {Patience.TotalSeconds} s no further one of {left} messages was settled; not "
                + $"accepted: {string.Join(", ", history.Missing().Take(10))}");
            await Task.Delay(200, cancellationToken);
        }
    }

    // In the order of the queues: a dead letter is stored before its message leaves.
    private async Task<long> UnsettledAsync(CancellationToken cancellationToken)
    {
        var left = 0L;
        foreach (var queue in AmqpLoad.Queues)
        {
            try
            {
                var cursors = await _client.Patient.Queues.ListAsync(new TopicPartition(AmqpLoad.TopicOf(queue), 0), cancellationToken);
                left += Assert.Single(cursors).Unsettled;
            }
            catch (BrokerException retried) when (retried.Action == ErrorAction.Retry)
            {
                return long.MaxValue;
            }
        }
        return left;
    }

    private string Figures(AmqpHistory history)
    {
        var faults = string.Join(", ", _injector.Done.OrderBy(static kind => kind.Key).Select(static kind => $"{kind.Value} {kind.Key}"));
        return string.Create(CultureInfo.InvariantCulture, $"figures: seed {seed}; {faults}, {_clientFaults} of clients; ")
            + string.Create(CultureInfo.InvariantCulture, $"{history.Confirmed} messages confirmed, {history.Delivered} deliveries, ")
            + string.Create(CultureInfo.InvariantCulture, $"{history.Committed} committed, {history.AcknowledgedInVain} delivered again ")
            + string.Create(CultureInfo.InvariantCulture, $"after an acknowledgement without a proof, {history.Letters} dead letters; ")
            + $"lost {Violations.Count(ViolationKind.Lost)}";
    }
}
