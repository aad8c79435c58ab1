using System.Globalization;
using OrleansMq.Api;
using OrleansMq.Tests.Chaos.Load;
using OrleansMq.Tests.Chaos.Running;
using OrleansMq.Tests.Chaos.Runs;
using OrleansMq.Tests.Chaos.Verification;

namespace OrleansMq.Tests.Chaos.Consumers;

/// <summary>Faults injected under a consumer group.</summary>
internal enum GroupFault
{
    /// <summary>Unknown.</summary>
    Unknown = 0,
    /// <summary>SIGKILL to a consumer.</summary>
    KillConsumer,
    /// <summary>SIGKILL to the silo of the group's coordinator.</summary>
    KillCoordinator,
    /// <summary>SIGKILL to another silo, which leads partitions.</summary>
    KillLeader,
    /// <summary>SIGTERM to the silo of the group's coordinator.</summary>
    StopCoordinator,
    /// <summary>SIGKILL to a consumer and the silo of its coordinator at once, so that another coordinator reassigns its
    /// partitions.</summary>
    KillBoth,
    /// <summary>PostgreSQL crashes while commits are written, and restarts.</summary>
    CrashDatabase,
}

/// <summary>A consumer group under load whose members and brokers are killed repeatedly. At the end every record must have been processed
/// and have taken effect once.</summary>
internal sealed class ConsumerGroupRun(RunningCluster cluster, ConsumerGroupLoad load, InboxProcessing processing, int seed) : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(120);

    private readonly ClusterClient _client = new(cluster.Addresses, TimeSpan.FromSeconds(4));
    private readonly Random _random = new(seed);
    private readonly Dictionary<GroupFault, int> _done = [];

    /// <summary>Injects faults for a while, waits for recovery, and counts.</summary>
    /// <param name="weights">The relative frequency of each fault.</param>
    /// <param name="length">How long faults are injected.</param>
    /// <returns>The figures, in one line.</returns>
    public async Task<string> RunAsync(IReadOnlyDictionary<GroupFault, int> weights, TimeSpan length)
    {
        var options = new LoadOptions { Topic = load.Topic, Partitions = load.Partitions, Producers = 2,
            RecordsPerSecond = load.RecordsPerSecond / 2 };
        await _client.Patient.CreateTopicAsync(options.ToNewTopic());
        var (ledger, violations) = (new Ledger(), new Violations());
        PartitionHistory[] histories =
            [.. Enumerable.Range(0, load.Partitions).Select(partition => new PartitionHistory(partition, violations))];
        var producers = Enumerable.Range(0, options.Producers).Select(_ => new LoadProducer(_client.Broker, options, ledger, histories))
            .ToArray();
        await using var fleet = new ConsumerFleet(cluster.Addresses, InboxProcessing.ConnectionString(cluster), load, cluster.Log);
        using var stop = new CancellationTokenSource();
        cluster.Log.Tell($"seed {seed}: load begins");
        var producing = Task.WhenAll(producers.Select(producer => Task.Run(() => producer.RunAsync(stop.Token))));
        fleet.Start();
        await BreakAsync(fleet, weights, length);
        cluster.Log.Tell("calm");
        await stop.CancelAsync();
        await producing.WaitAsync(options.DeliveryTimeout + TimeSpan.FromSeconds(30));
        Assert.Equal(0, producers.Sum(producer => producer.Failed));

        var ends = await EndsAsync();
        await AllProcessedAsync(ends, fleet);
        await fleet.StopAsync();
        Assert.True(!fleet.Failures.Any(), string.Join('\n', fleet.Failures));
        Assert.True(violations.IsEmpty, $"{violations}");
        return await JudgeAsync(ends, fleet);
    }

    public void Dispose() => _client.Dispose();

    private async Task BreakAsync(ConsumerFleet fleet, IReadOnlyDictionary<GroupFault, int> weights, TimeSpan length)
    {
        using var time = new CancellationTokenSource(length);
        // Each fault comes once first, so that a short run sees all of them.
        var plan = new Queue<GroupFault>(weights.Keys.OrderBy(_ => _random.Next()));
        while (!time.IsCancellationRequested || plan.Count > 0)
        {
            await Task.Delay(TimeSpan.FromSeconds(0.5 + (2 * _random.NextDouble())));
            var fault = plan.TryDequeue(out var first) ? first : Draw(weights);
            _done[fault] = _done.GetValueOrDefault(fault) + 1;
            cluster.Log.Tell($"{fault}");
            await BreakAsync(fault, fleet);
        }
    }

    private async Task BreakAsync(GroupFault fault, ConsumerFleet fleet)
    {
        switch (fault)
        {
            case GroupFault.KillConsumer:
                cluster.Log.Tell(await fleet.KillOneAsync(_random.Next(1 << 20)));
                break;
            case GroupFault.KillCoordinator:
                await EndAsync(await CoordinatorAsync(), Signals.Kill);
                break;
            case GroupFault.KillLeader:
                var coordinator = await CoordinatorAsync();
                await EndAsync(cluster.Silos.First(silo => silo.BrokerId != coordinator.BrokerId), Signals.Kill);
                break;
            case GroupFault.StopCoordinator:
                await EndAsync(await CoordinatorAsync(), Signals.Terminate);
                break;
            case GroupFault.KillBoth:
                var silo = await CoordinatorAsync();
                cluster.Log.Tell(await fleet.KillOneAsync(_random.Next(1 << 20)));
                await EndAsync(silo, Signals.Kill);
                break;
            case GroupFault.CrashDatabase:
                await cluster.Database.KillAsync();
                await cluster.Database.StartAsync();
                break;
            default:
                throw new NotSupportedException($"{fault} is no fault.");
        }
    }

    private async Task EndAsync(Silo silo, int signal)
    {
        cluster.Log.Tell($"broker {silo.BrokerId}");
        Signals.TrySend(silo.ProcessId, signal);
        await cluster.RestartedAsync(silo, CancellationToken.None);
    }

    private async Task<Silo> CoordinatorAsync()
    {
        using var patience = new CancellationTokenSource(Patience);
        while (true)
        {
            try
            {
                return cluster[await _client.Broker.Groups.FindCoordinatorAsync(load.Group, patience.Token)];
            }
            catch (BrokerException refused) when (refused.Action == ErrorAction.Retry)
            {
                await Task.Delay(50, patience.Token);
            }
        }
    }

    private GroupFault Draw(IReadOnlyDictionary<GroupFault, int> weights)
    {
        var drawn = _random.Next(weights.Values.Sum());
        return weights.OrderBy(weight => weight.Key).First(weight => (drawn -= weight.Value) < 0).Key;
    }

    private async Task<long[]> EndsAsync()
    {
        var view = new ClusterView(_client.Broker, load.Topic, 3);
        using var patience = new CancellationTokenSource(Patience);
        while (true)
        {
            var partitions = await view.WellAsync(Patience, CancellationToken.None);
            // A new leader may know only an older high watermark.
            if (partitions.All(static partition => partition.HighWatermark == partition.LogEndOffset))
                return [.. partitions.OrderBy(partition => partition.Partition).Select(partition => partition.HighWatermark)];
            await Task.Delay(100, patience.Token);
        }
    }

    /// <summary>Waits until the group has committed every record. Processed records are committed within half a second.</summary>
    private async Task AllProcessedAsync(long[] ends, ConsumerFleet fleet)
    {
        var began = DateTime.UtcNow;
        while (true)
        {
            var fetched = await _client.Broker.Groups.FetchOffsetsAsync(new OffsetFetch { GroupId = load.Group });
            var committed = fetched.Partitions.ToDictionary(offset => offset.Partition.Partition, offset => offset.Offset?.Offset ?? 0);
            if (fetched.Error == ErrorCode.None
                && Enumerable.Range(0, ends.Length).All(partition => committed.GetValueOrDefault(partition) >= ends[partition]))
                return;
            if (DateTime.UtcNow - began > Patience)
            {
                var behind = Enumerable.Range(0, ends.Length)
                    .Select(partition => $"{partition}: {committed.GetValueOrDefault(partition)} of {ends[partition]}");
                Assert.Fail($"The group did not commit everything: {string.Join(", ", behind)}. {fetched.Error} "
                    + $"{fetched.Message}\n{string.Join('\n', fleet.Failures)}");
            }
            await Task.Delay(100);
        }
    }

    private async Task<string> JudgeAsync(long[] ends, ConsumerFleet fleet)
    {
        var deliveries = 0L;
        for (var partition = 0; partition < ends.Length; partition++)
        {
            var (records, bookings, delivered) = await processing.CountAsync(partition);
            Assert.True(records == ends[partition],
                $"Of {ends[partition]} records of partition {partition} {records} were processed, although all are committed.");
            deliveries += delivered;
            Assert.True(bookings == records, $"{bookings} bookings of {records} records of partition {partition}.");
        }
        var produced = ends.Sum();
        Assert.True(produced > 0, "nothing was produced");
        var faults = string.Join(", ", _done.OrderBy(kind => kind.Key).Select(kind => $"{kind.Value} {kind.Key}"));
        var figures = string.Create(CultureInfo.InvariantCulture, $"figures: seed {seed}; {faults}; {produced} records, each booked once, "
            + $"{deliveries - produced} processed again without effect; {fleet.Kills} consumers killed, {cluster.Evictions} evictions");
        cluster.Log.Tell(figures);
        return figures;
    }
}
